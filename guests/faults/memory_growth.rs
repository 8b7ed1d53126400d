//! Takes and touches memory until there is none, which Rust answers with an abort.

use fixtures::p2::{IncomingRequest, ResponseOutparam};

const BLOCK_BYTES: usize = 1 << 20;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; BLOCK_BYTES]);
        std::hint::black_box(&hoard);
    }
}
