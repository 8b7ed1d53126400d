//! Answers how many requests this instance has served, this one included.

use std::sync::atomic::{AtomicU64, Ordering};

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};

static SERVED: AtomicU64 = AtomicU64::new(0);

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    p2::answer(out, &format!("{served}\n"));
}
