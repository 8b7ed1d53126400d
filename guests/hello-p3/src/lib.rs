//! The smallest service for WASI 0.3: says who answers and what it was asked.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Hello;

wasip3::http::service::export!(Hello);

impl Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let method = request.get_method();
        let path = request.get_path_with_query().unwrap_or_default();
        let revision = std::env::var("REVISION").unwrap_or_else(|_| "1".to_owned());
        let text = format!(
            "Hello from hello-p3 revision {revision}: {} {path}\n",
            name(&method)
        );

        let headers = Fields::new();
        let plain = [b"text/plain; charset=utf-8".to_vec()];
        headers.set("content-type", &plain).unwrap();
        let (mut body, contents) = wit_stream::new();
        // Dropping the writer answers with the default: no trailers.
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(contents), trailers);
        spawn_local(async move { body.write_all(text.into_bytes()).await });
        Ok(response)
    }
}

fn name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => other,
    }
}
