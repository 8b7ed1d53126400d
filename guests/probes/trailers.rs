//! Answers a short body and the trailer `x-checksum: 42`.

use fixtures::p2::{Body, Fields, IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let headers = Fields::new();
    headers.append("trailer", b"x-checksum").unwrap();
    let mut body = Body::start(out, 200, headers);
    body.write(b"see below\n");
    let trailers = Fields::new();
    trailers.append("x-checksum", b"42").unwrap();
    body.finish(Some(trailers));
}
