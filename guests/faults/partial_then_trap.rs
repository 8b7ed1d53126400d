//! Sends the head of an answer and more of its body than is kept on the way, then traps.

use fixtures::p2::{Body, Fields, IncomingRequest, ResponseOutparam};

const PART_BYTES: usize = 1 << 20;
const PARTS: u32 = 3;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let mut body = Body::start(out, 200, Fields::new());
    let part = vec![b'x'; PART_BYTES];
    for _ in 0..PARTS {
        body.write(&part);
    }
    body.flush();
    core::arch::wasm32::unreachable();
}
