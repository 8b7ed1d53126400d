//! Fetches `?url=` as many times at once as `?times=` says; answers how many were answered.

use fixtures::p2::wasip2::http::types::FutureIncomingResponse;
use fixtures::p2::wasip2::io::poll::poll;
use fixtures::p2::{self, IncomingRequest, ResponseOutparam, outgoing};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = p2::target(&request);
    let url = query::get(&target, "url").unwrap_or_default();
    let times = query::number(&target, "times", 1);
    let begun = (0..times).filter_map(|_| outgoing::begin(&url).ok());
    let mut begun: Vec<_> = begun.collect();
    let mut answered = 0;
    while !begun.is_empty() {
        for index in ready(&begun).into_iter().rev() {
            answered += u64::from(outgoing::finish(begun.remove(index)).is_ok());
        }
    }
    p2::answer(out, &format!("{answered} answered\n"));
}

/// Waits for some; which they are, in order.
fn ready(begun: &[FutureIncomingResponse]) -> Vec<usize> {
    let pollables: Vec<_> = begun.iter().map(|begun| begun.subscribe()).collect();
    let pollables: Vec<_> = pollables.iter().collect();
    let mut ready: Vec<_> = poll(&pollables)
        .into_iter()
        .map(|index| index as usize)
        .collect();
    ready.sort_unstable();
    ready
}
