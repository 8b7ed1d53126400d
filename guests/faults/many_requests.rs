//! Sends ten thousand requests to `TARGET` (default: a host that is not allowed) without waiting for any, then
//! waits for all; answers how many were answered and how many failed.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam, outgoing};

const REQUESTS: usize = 10_000;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let target = std::env::var("TARGET").unwrap_or_else(|_| "http://denied.example/".to_owned());
    let begun: Vec<_> = (0..REQUESTS).map(|_| outgoing::begin(&target)).collect();
    let answers = begun
        .into_iter()
        .map(|begun| begun.and_then(outgoing::finish));
    let answered = answers.filter(Result::is_ok).count();
    let failed = REQUESTS - answered;
    p2::answer(out, &format!("{answered} answered, {failed} failed\n"));
}
