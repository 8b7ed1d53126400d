//! CGI (RFC 3875): the variables that describe a request, and the head of the response that comes back.
//!
//! Pure: bytes in, values out. Running the guest and moving bodies are the request path's.

mod head;
mod variables;

pub use head::{CgiError, Head, HeadLimits, HeadParser};
pub use variables::{Server, UnfitPath, variables};

/// Fields about one connection, never passed on in either direction (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
