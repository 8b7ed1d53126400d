//! Request to meta-variables (RFC 3875, section 4.1).

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use super::HOP_BY_HOP;

const SOFTWARE: &str = concat!("skep/", env!("CARGO_PKG_VERSION"));

/// What the variables say about the server.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The host that the request was for, without port; an IPv6 address in brackets.
    pub name: &'a str,
    /// The port it came in at.
    pub port: u16,
}

/// The path can't be given to a program: decoded, it is not text or holds a NUL. The caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request's path is not UTF-8 text once decoded, or contains a NUL")]
pub struct UnfitPath;

/// The variables of a request, each name once, sorted. An IPv4 peer of a dual-stack socket is shown as IPv4.
///
/// `request` is as the guest gets it: `prefix` is already stripped from its path, and becomes `SCRIPT_NAME`.
///
/// Fields whose names have other characters than letters, digits and hyphens are left out (`a_b` and `a-b`
/// would be one variable), and so are those about the connection and `Proxy`, whose variable programs
/// take for their own configuration.
///
/// # Errors
/// [`UnfitPath`], to be answered with 400.
pub fn variables(
    request: &Parts,
    prefix: &str,
    remote: IpAddr,
    server: Server<'_>,
) -> Result<Vec<(String, String)>, UnfitPath> {
    let path = request.uri.path();
    let query = request.uri.query();
    let prefix = prefix.trim_end_matches('/');
    let mut variables = fields(request);
    let mut set = |name: &str, value: String| {
        variables.insert(name.to_owned(), value);
    };
    set("GATEWAY_INTERFACE", "CGI/1.1".to_owned());
    set("PATH_INFO", decoded(path)?);
    set("QUERY_STRING", query.unwrap_or_default().to_owned());
    let remote = remote.to_canonical().to_string();
    set("REMOTE_HOST", remote.clone());
    set("REMOTE_ADDR", remote);
    set("REQUEST_METHOD", request.method.to_string());
    set(
        "REQUEST_URI",
        match query {
            Some(query) => format!("{prefix}{path}?{query}"),
            None => format!("{prefix}{path}"),
        },
    );
    set("SCRIPT_NAME", decoded(prefix)?);
    set("SERVER_NAME", server.name.to_owned());
    set("SERVER_PORT", server.port.to_string());
    set("SERVER_PROTOCOL", format!("{:?}", request.version));
    set("SERVER_SOFTWARE", SOFTWARE.to_owned());
    for (name, field) in [
        ("CONTENT_LENGTH", header::CONTENT_LENGTH),
        ("CONTENT_TYPE", header::CONTENT_TYPE),
    ] {
        if let Some(value) = request.headers.get(field) {
            set(name, text(value));
        }
    }
    Ok(variables.into_iter().collect())
}

/// The `HTTP_…` variables.
fn fields(request: &Parts) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for name in request
        .headers
        .keys()
        .filter(|name| is_passed_on(name, &request.headers))
    {
        let values: Vec<_> = request.headers.get_all(name).iter().map(text).collect();
        let separator = if name == header::COOKIE { "; " } else { ", " };
        variables.insert(variable_name(name), values.join(separator));
    }
    // HTTP/2 says in the URI what HTTP/1.1 says in the field.
    if let Some(authority) = request.uri.authority() {
        variables
            .entry("HTTP_HOST".to_owned())
            .or_insert_with(|| authority.to_string());
    }
    variables
}

fn variable_name(name: &HeaderName) -> String {
    format!(
        "HTTP_{}",
        name.as_str().to_ascii_uppercase().replace('-', "_")
    )
}

fn is_passed_on(name: &HeaderName, headers: &HeaderMap) -> bool {
    let is_plain = name
        .as_str()
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_said_otherwise = *name == header::CONTENT_LENGTH || *name == header::CONTENT_TYPE;
    is_plain
        && !is_said_otherwise
        && name.as_str() != "proxy"
        && !HOP_BY_HOP.contains(&name.as_str())
        && !is_named_by_connection(name, headers)
}

fn is_named_by_connection(name: &HeaderName, headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case(name.as_str()))
}

/// The value as text; what is not UTF-8 is read as Latin-1, so that nothing is lost.
fn text(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    std::str::from_utf8(bytes).map_or_else(
        |_| bytes.iter().copied().map(char::from).collect(),
        str::to_owned,
    )
}

/// Percent-decodes once. A `%` without two hexadecimal digits stands for itself.
fn decoded(path: &str) -> Result<String, UnfitPath> {
    let mut rest = path.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits fit a byte.
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    if bytes.contains(&0) {
        return Err(UnfitPath);
    }
    String::from_utf8(bytes).map_err(|_| UnfitPath)
}

#[cfg(test)]
mod tests;
