//! Answers after `?ms=` milliseconds.

use fixtures::p2::wasip2::clocks::monotonic_clock::subscribe_duration;
use fixtures::p2::{self, IncomingRequest, ResponseOutparam};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let milliseconds = query::number(&p2::target(&request), "ms", 0);
    subscribe_duration(milliseconds * 1_000_000).block();
    p2::answer(out, &format!("slept {milliseconds}\n"));
}
