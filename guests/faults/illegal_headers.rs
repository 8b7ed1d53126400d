//! Tries to send headers that are not a guest's to send: hop-by-hop ones, ones that would frame the message
//! another way, and names and values that would break out of their line.
//!
//! The API is to refuse each. Answers 500 with a line for each header, `refused NAME` or `accepted NAME`, and
//! with what was accepted in its head.

use fixtures::p2::{self, Fields, IncomingRequest, ResponseOutparam};

const ILLEGAL: [(&str, &[u8]); 14] = [
    ("connection", b"close"),
    ("keep-alive", b"timeout=1000"),
    ("proxy-authenticate", b"Basic"),
    ("proxy-connection", b"keep-alive"),
    ("transfer-encoding", b"chunked"),
    ("upgrade", b"websocket"),
    ("http2-settings", b"AAMAAABkAAQAoAAAAAIAAAAA"),
    ("host", b"elsewhere.example"),
    ("content-length", b"1, 2"),
    ("", b"no name"),
    ("x name", b"space in the name"),
    ("x-name:", b"colon in the name"),
    ("x-value", b"line\r\nset-cookie: injected=1"),
    ("x-nul", b"nul\0"),
];

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let headers = Fields::new();
    let mut report = String::new();
    for (name, value) in ILLEGAL {
        let verdict = match headers.append(name, value) {
            Ok(()) => "accepted",
            Err(_) => "refused",
        };
        report += &format!("{verdict} {name}\n");
    }
    p2::respond(out, 500, headers, &report);
}
