//! Sends a longer body than it promised.

use fixtures::p2::{Body, Fields, IncomingRequest, ResponseOutparam};

const PROMISED: &[u8] = b"3";
const SENT: &[u8] = b"a body of twenty-six bytes";

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let headers = Fields::new();
    headers.append("content-length", PROMISED).unwrap();
    let mut body = Body::start(out, 200, headers);
    body.write(SENT);
    body.finish(None);
}
