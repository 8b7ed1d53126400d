//! Sets ten thousand headers of a response. The API of WASI 0.2 has no error for too many: the host ends the
//! guest when they exceed what it keeps. If it keeps them all, they are sent.

use fixtures::p2::{self, Fields, IncomingRequest, ResponseOutparam};

const HEADERS: u32 = 10_000;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let headers = Fields::new();
    let taken = (0..HEADERS)
        .take_while(|number| headers.append(&format!("x-{number}"), b"v").is_ok())
        .count();
    p2::respond(out, 200, headers, &format!("{taken} headers\n"));
}
