//! Sends a body that has no end, for as long as anyone takes it.

use fixtures::p2::{Body, Fields, IncomingRequest, ResponseOutparam};

const CHUNK: [u8; 16 * 1024] = [b'x'; 16 * 1024];

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let mut body = Body::start(out, 200, Fields::new());
    while body.write(&CHUNK) {}
}
