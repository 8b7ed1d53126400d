//! Hands the request's body back as the response's without reading any of it.

use fixtures::p3::wasip3::wit_future;
use fixtures::p3::{ErrorCode, Fields, Request, Response};

fixtures::serve_p3!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, handled);
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    Ok(response)
}
