//! Answers as the query says: `?status=`, headers `?h1=NAME:VALUE` up to `h9`, `?bytes=` of lines, after `?ms=`
//! milliseconds; `?end=trap` traps in the end. Each answer has a number of its own in `x-run`, and a line in the log.

use fixtures::p2::wasip2::clocks::monotonic_clock::subscribe_duration;
use fixtures::p2::wasip2::random::random::get_random_u64;
use fixtures::p2::{self, Body, Fields, IncomingRequest, ResponseOutparam};
use fixtures::query;

const LINE: &[u8] = b"one of many lines that are all the same\n";

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = p2::target(&request);
    let run = get_random_u64();
    println!("run {run} of {target}");
    subscribe_duration(query::number(&target, "ms", 0) * 1_000_000).block();
    let headers = Fields::new();
    let own = [("x-run".to_owned(), run.to_string())];
    let given = (1..10).filter_map(|number| {
        let header = query::get(&target, &format!("h{number}"))?;
        let (name, value) = header.split_once(':')?;
        Some((name.to_owned(), value.to_owned()))
    });
    for (name, value) in own.into_iter().chain(given) {
        headers.append(&name, value.as_bytes()).unwrap();
    }
    let status = query::number(&target, "status", 200) as u16;
    let mut body = Body::start(out, status, headers);
    let mut left = query::number(&target, "bytes", 0) as usize;
    while left > 0 {
        let part = &LINE[..left.min(LINE.len())];
        if !body.write(part) {
            return;
        }
        left -= part.len();
    }
    if query::get(&target, "end").as_deref() == Some("trap") {
        body.flush();
        core::arch::wasm32::unreachable();
    }
    body.finish(None);
}
