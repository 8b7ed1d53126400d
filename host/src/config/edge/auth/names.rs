//! Names of headers and cookies that have to do with who comes in.

use http::HeaderName;
use skep_policy::quote::quoted;

use crate::config::document::Scope;
use crate::config::error::ConfigError;

/// What the host's own headers begin with.
const OWN_PREFIX: &str = "x-skep-";
/// What is about the connection, the message or the way that it came.
const OTHERS: [&str; 22] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "te",
    "trailer",
    "host",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-client-cert",
    "x-real-ip",
    "x-request-id",
];

/// A header's name, lower-case: of one that means nothing else, and that nobody takes for another.
pub(super) fn header(given: &str, keys: &[&str], scope: &Scope<'_>) -> Result<String, ConfigError> {
    let error = |what: &str| Err(scope.error(keys, format!("{} {what}", quoted(given))));
    let Ok(name) = HeaderName::try_from(given) else {
        return error("is no name of a header");
    };
    let name = name.as_str();
    if OTHERS.contains(&name) || name.starts_with(OWN_PREFIX) {
        return error("means something else: name another header");
    }
    if name.contains('_') {
        return error("has an underscore, which some take for a hyphen: write a hyphen");
    }
    Ok(name.to_owned())
}

/// A cookie's name (RFC 6265, 4.1.1).
pub(super) fn cookie(
    given: String,
    keys: &[&str],
    scope: &Scope<'_>,
) -> Result<String, ConfigError> {
    const SEPARATORS: &[u8] = b"()<>@,;:\\\"/[]?={}";
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !SEPARATORS.contains(&byte);
    if !given.is_empty() && given.bytes().all(is_plain) {
        return Ok(given);
    }
    let what = format!("{} is no name of a cookie", quoted(&given));
    Err(scope.error(keys, what))
}
