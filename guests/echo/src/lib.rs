//! Streams a request's body and trailers back as they come.
//!
//! A chunk is read only when the one before it was taken, so a slow reader of the answer slows the sender of
//! the request, and a body of any size needs one buffer.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::rt::async_support::StreamResult;
use wasip3::{spawn_local, wit_future, wit_stream};

/// Headers that the answer repeats: what the body is, and which trailers follow it.
const ECHOED: [&str; 2] = ["content-type", "trailer"];
const CHUNK_BYTES: usize = 64 * 1024;

struct Echo;

wasip3::http::service::export!(Echo);

impl Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let asked = request.get_headers();
        let headers = Fields::new();
        for name in ECHOED {
            let values = asked.get(name);
            headers
                .set(name, &values)
                .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        }

        let (_, handled) = wit_future::new(|| Ok(()));
        let (mut incoming, trailers) = Request::consume_body(request, handled);
        let (mut outgoing, contents) = wit_stream::new();
        let (response, _sent) = Response::new(headers, Some(contents), trailers);
        spawn_local(async move {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            loop {
                let (status, read) = incoming.read(chunk).await;
                let unsent = outgoing.write_all(read).await;
                if status == StreamResult::Dropped || !unsent.is_empty() {
                    break;
                }
                chunk = unsent;
            }
        });
        Ok(response)
    }
}
