//! Fetches every URL that comes as a part of the request's body, and answers with what it got for each, at once.

use fixtures::p2::{Body, Fields, IncomingRequest, ResponseOutparam, outgoing};

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let mut body = Body::start(out, 200, Fields::new());
    let urls = request.consume().unwrap();
    outgoing::read(urls, |url| {
        let url = String::from_utf8_lossy(url);
        let response = outgoing::begin(url.trim()).and_then(outgoing::finish);
        let mut text = Vec::new();
        outgoing::read(response.unwrap().consume().unwrap(), |chunk| {
            text.extend_from_slice(chunk);
            true
        });
        body.write(&text);
        body.flush();
        true
    });
    body.finish(None);
}
