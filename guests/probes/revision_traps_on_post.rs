//! Answers well, except that it traps on POST.

use fixtures::p2::wasip2::http::types::Method;
use fixtures::p2::{IncomingRequest, ResponseOutparam, revision};

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    if matches!(request.method(), Method::Post) {
        core::arch::wasm32::unreachable();
    }
    revision::serve(&request, out, "traps_on_post");
}
