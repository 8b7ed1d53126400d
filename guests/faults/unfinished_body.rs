//! Writes a part of its answer, then returns without finishing it.

use fixtures::p2::{Body, Fields, IncomingRequest, ResponseOutparam};

const PART: &[u8] = b"half of what I wanted to s";

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let mut body = Body::start(out, 200, Fields::new());
    body.write(PART);
    body.flush();
    core::mem::forget(body);
}
