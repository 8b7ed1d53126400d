//! Computes for `?ms=` milliseconds, sends a line, and ends the answer when the request's body ends.

use fixtures::p2::wasip2::clocks::monotonic_clock::now;
use fixtures::p2::{self, Body, Fields, IncomingRequest, ResponseOutparam, outgoing};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let until = now() + query::number(&p2::target(&request), "ms", 0) * 1_000_000;
    while now() < until {}
    let mut body = Body::start(out, 200, Fields::new());
    body.write(b"computed\n");
    body.flush();
    outgoing::read(request.consume().unwrap(), |_| true);
    body.finish(None);
}
