//! Answers how many requests this instance has served and how many are inside, this one included in both:
//! `SERVED INSIDE`, after `?ms=` milliseconds.

use std::sync::atomic::{AtomicU64, Ordering};

use fixtures::p3::{self, ErrorCode, Request, Response};
use fixtures::query;

static SERVED: AtomicU64 = AtomicU64::new(0);
static INSIDE: AtomicU64 = AtomicU64::new(0);

fixtures::serve_p3!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    INSIDE.fetch_add(1, Ordering::Relaxed);
    p3::wait_ms(query::number(&p3::target(&request), "ms", 0)).await;
    let inside = INSIDE.fetch_sub(1, Ordering::Relaxed);
    Ok(p3::answer(format!("{served} {inside}\n")))
}
