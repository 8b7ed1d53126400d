//! Answers well, after a fifth of a second.

use fixtures::p2::wasip2::clocks::monotonic_clock::subscribe_duration;
use fixtures::p2::{IncomingRequest, ResponseOutparam, revision};

const PAUSE_NANOSECONDS: u64 = 200_000_000;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    subscribe_duration(PAUSE_NANOSECONDS).block();
    revision::serve(&request, out, "slow");
}
