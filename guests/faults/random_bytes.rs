//! Asks for `?bytes=` random bytes (default 1 GiB) in one call: of those that are fit for keys, or with `?sort=insecure`
//! of the others.

use fixtures::p2::wasip2::random::{insecure, random};
use fixtures::p2::{self, IncomingRequest, ResponseOutparam};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let target = p2::target(&request);
    let bytes = query::number(&target, "bytes", 1 << 30);
    let random = if query::get(&target, "sort").is_some_and(|sort| sort == "insecure") {
        insecure::get_insecure_random_bytes(bytes)
    } else {
        random::get_random_bytes(bytes)
    };
    p2::answer(out, &format!("{} bytes\n", random.len()));
}
