//! The smallest service for WASI 0.2: says who answers and what it was asked.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;

wasip2::http::proxy::export!(Hello);

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let method = request.method();
        let path = request.path_with_query().unwrap_or_default();
        let revision = std::env::var("REVISION").unwrap_or_else(|_| "1".to_owned());
        let text = format!(
            "Hello from hello revision {revision}: {} {path}\n",
            name(&method)
        );

        let headers = Fields::new();
        let plain = [b"text/plain; charset=utf-8".to_vec()];
        headers.set("content-type", &plain).unwrap();
        let response = OutgoingResponse::new(headers);
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));

        let mut stream = body.write().unwrap();
        let sent = stream.write_all(text.as_bytes());
        drop(stream);
        // A client that hung up is no fault of this service.
        if sent.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
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
