//! Fetches `?url=` and relays the status and the body; without one there is nothing to do. With `?times=` it is fetched so
//! often, one after the other. What failed is answered with 502 and the error's name in the header `x-fetch-error`.

use fixtures::p2::{self, Body, Fields, IncomingRequest, ResponseOutparam, outgoing};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let Some(url) = query::get(&p2::target(&request), "url") else {
        return p2::answer(out, "nothing to fetch\n");
    };
    for _ in 1..query::number(&p2::target(&request), "times", 1) {
        if let Ok(response) = outgoing::begin(&url).and_then(outgoing::finish) {
            outgoing::read(response.consume().unwrap(), |_| true);
        }
    }
    match outgoing::begin(&url).and_then(outgoing::finish) {
        Ok(response) => {
            let mut body = Body::start(out, response.status(), Fields::new());
            let incoming = response.consume().unwrap();
            if outgoing::read(incoming, |chunk| body.write(chunk)) {
                body.finish(None);
            }
        }
        Err(error) => {
            let headers = Fields::new();
            let name = format!("{error:?}");
            headers.append("x-fetch-error", name.as_bytes()).unwrap();
            p2::respond(out, 502, headers, &format!("{name}\n"));
        }
    }
}
