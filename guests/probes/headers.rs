//! Answers the request's head as the guest sees it: `METHOD SCHEME AUTHORITY TARGET`, then a line `name: value`
//! for each header.

use fixtures::p2::{self, IncomingRequest, ResponseOutparam};

fixtures::serve_p2!(handle);

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let mut text = format!(
        "{:?} {:?} {} {}\n",
        request.method(),
        request.scheme(),
        request.authority().unwrap_or_default(),
        p2::target(&request),
    );
    for (name, value) in request.headers().entries() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    p2::answer(out, &text);
}
