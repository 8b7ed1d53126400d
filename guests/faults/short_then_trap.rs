//! Sends the head of an answer and a few bytes of its body, then traps before anything can have left.

use fixtures::p2::{Body, Fields, IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let mut body = Body::start(out, 200, Fields::new());
    body.write(b"all is well");
    body.flush();
    core::arch::wasm32::unreachable();
}
