//! Fetches `?url=`, if there is one, then traps.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam, outgoing};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, _out: ResponseOutparam) {
    if let Some(url) = query::get(&p2::target(&request), "url") {
        drop(outgoing::begin(&url).and_then(outgoing::finish).unwrap());
    }
    core::arch::wasm32::unreachable();
}
