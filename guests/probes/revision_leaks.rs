//! Answers well, and keeps a megabyte of each request for as long as the instance lives.

use fixtures::p2::{IncomingRequest, ResponseOutparam, revision};

const LEAK_BYTES: usize = 1 << 20;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    std::hint::black_box(vec![1_u8; LEAK_BYTES].leak());
    revision::serve(&request, out, "leaks");
}
