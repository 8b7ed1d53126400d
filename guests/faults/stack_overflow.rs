//! Calls itself deeper than any stack goes.

use std::hint::black_box;

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    p2::answer(out, &format!("reached {}\n", dive(1)));
}

fn dive(depth: u64) -> u64 {
    // Hidden from the compiler, which would otherwise make a loop of it.
    let deeper: fn(u64) -> u64 = black_box(dive);
    deeper(depth + 1).rotate_left(1) + depth
}
