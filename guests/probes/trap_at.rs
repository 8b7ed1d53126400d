//! Says in the header `x-served` how many requests this instance has served, this one included, and answers two lines
//! of 1 KiB, one after the other. Traps at the `?trap=`th request instead.

use std::sync::atomic::{AtomicU64, Ordering};

use fixtures::p2::{self, Body, Fields, IncomingRequest, ResponseOutparam};
use fixtures::query;

const LINE_BYTES: usize = 1024;

static SERVED: AtomicU64 = AtomicU64::new(0);

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    if query::number(&p2::target(&request), "trap", 0) == served {
        core::arch::wasm32::unreachable();
    }
    let headers = Fields::new();
    let value = served.to_string();
    headers.append("x-served", value.as_bytes()).unwrap();
    let mut body = Body::start(out, 200, headers);
    for line in ["first", "last"] {
        let line = format!("{line:>width$}\n", width = LINE_BYTES - 1);
        body.write(line.as_bytes());
    }
    body.finish(None);
}
