//! Passes the request's body on to `?to=`, an authority and a path, and answers with what comes back: nothing of either
//! is read. What failed is answered with 502 and the error's name.

use fixtures::p3::wasip3::http::client;
use fixtures::p3::wasip3::http::types::Scheme;
use fixtures::p3::wasip3::wit_future;
use fixtures::p3::{self, ErrorCode, Fields, Request, Response};
use fixtures::query;

fixtures::serve_p3!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let to = query::get(&p3::target(&request), "to").unwrap_or_default();
    let (authority, path) = to.split_at(to.find('/').unwrap_or(to.len()));
    let method = request.get_method();
    let (_, handled) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, handled);
    let (onward, _sent) = Request::new(Fields::new(), Some(contents), trailers, None);
    onward.set_method(&method).unwrap();
    onward.set_scheme(Some(&Scheme::Http)).unwrap();
    onward.set_authority(Some(authority)).unwrap();
    onward.set_path_with_query(Some(path)).unwrap();
    match client::send(onward).await {
        Ok(response) => Ok(response),
        Err(error) => {
            let response = p3::answer(format!("{error:?}\n"));
            response.set_status_code(502).unwrap();
            Ok(response)
        }
    }
}
