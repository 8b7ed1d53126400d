//! Sleeps for ever on a clock: busy with nothing, so only a wall clock can end it.

use fixtures::p2::wasip2::clocks::monotonic_clock::subscribe_duration;
use fixtures::p2::{IncomingRequest, ResponseOutparam};

const YEAR_NS: u64 = 365 * 24 * 60 * 60 * 1_000_000_000;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
    loop {
        subscribe_duration(YEAR_NS).block();
    }
}
