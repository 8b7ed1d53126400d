//! Promises 5 bytes and sends 2, all at once.

use fixtures::p3::wasip3::{spawn_local, wit_future, wit_stream};
use fixtures::p3::{ErrorCode, Fields, Request, Response};

fixtures::serve_p3!(handle);

async fn handle(_request: Request) -> Result<Response, ErrorCode> {
    let headers = Fields::new();
    headers.append("content-length", b"5").unwrap();
    let (mut body, contents) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), trailers);
    spawn_local(async move {
        body.write_all(b"ab".to_vec()).await;
    });
    Ok(response)
}
