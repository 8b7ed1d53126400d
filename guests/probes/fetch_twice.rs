//! Fetches `?url=` twice, one after the other, and relays the answer; with 409 and both of them if they differ.

use fixtures::p2::wasip2::http::types::ErrorCode;
use fixtures::p2::{self, Fields, IncomingRequest, ResponseOutparam, outgoing};
use fixtures::query;

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let url = query::get(&p2::target(&request), "url").unwrap_or_default();
    let [first, second] = [fetch(&url), fetch(&url)];
    match (first, second) {
        (Ok((200, first)), Ok((200, second))) if first == second => {
            p2::respond(out, 200, Fields::new(), &first);
        }
        (first, second) => {
            let text = format!("{first:?}\n{second:?}\n");
            p2::respond(out, 409, Fields::new(), &text);
        }
    }
}

fn fetch(url: &str) -> Result<(u16, String), ErrorCode> {
    let response = outgoing::begin(url).and_then(outgoing::finish)?;
    let status = response.status();
    let mut text = Vec::new();
    outgoing::read(response.consume().unwrap(), |chunk| {
        text.extend_from_slice(chunk);
        true
    });
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}
