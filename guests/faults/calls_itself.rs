//! Requests `SELF_URL`, which is to lead back to itself, and relays the status it gets.

use fixtures::p2::{self, Fields, IncomingRequest, ResponseOutparam, outgoing};

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let url = std::env::var("SELF_URL").expect("SELF_URL leads back to this service");
    match outgoing::begin(&url).and_then(outgoing::finish) {
        Ok(response) => {
            let status = response.status();
            p2::respond(out, status, Fields::new(), &format!("got {status}\n"));
        }
        Err(error) => p2::respond(out, 508, Fields::new(), &format!("{error:?}\n")),
    }
}
