//! Answers with `?status=` (default 200) and a body of `?bytes=` bytes (default 0), whose length it says in a header
//! if `?promise=` is given.

use fixtures::p2::{self, Body, Fields, IncomingRequest, ResponseOutparam};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = p2::target(&request);
    let status = query::number(&target, "status", 200) as u16;
    let bytes = query::number(&target, "bytes", 0);
    let headers = Fields::new();
    if let Some(promise) = query::get(&target, "promise") {
        headers
            .append("content-length", promise.as_bytes())
            .unwrap();
    }
    let mut body = Body::start(out, status, headers);
    body.write(&vec![b'x'; bytes as usize]);
    body.finish(None);
}
