//! What HTTP/2 wants of a request's head that its codec does not look at (RFC 9113, 8.2 and 8.3).

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::Authority;
use http::{Request, Uri};

use crate::fault::{Cause, Fault};

/// Cookies that came in several fields are one (RFC 9113, 8.2.3): what is no HTTP/2 knows of one field alone.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if crumbs.nth(1).is_none() {
        return;
    }
    let crumbs = headers.get_all(header::COOKIE).iter();
    let crumbs: Vec<&[u8]> = crumbs.map(HeaderValue::as_bytes).collect();
    // Made of values, and of what may stand in one.
    if let Ok(cookies) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, cookies);
    }
}

/// Looks at what could mean one thing here and another to whoever gets the request next.
///
/// # Errors
/// [`Cause::HeadTooLarge`] or [`Cause::MalformedRequest`].
pub(super) fn check<B>(request: &Request<B>, headers_max: usize) -> Result<(), Fault> {
    let headers = request.headers();
    if headers.len() > headers_max {
        let detail = format!("more than the {headers_max} that [connections] headers_max allows");
        return Err(Fault::new(Cause::HeadTooLarge, detail));
    }
    let malformed = |detail| Err(Fault::new(Cause::MalformedRequest, detail));
    if headers.values().any(has_space_around) {
        return malformed("a field's value begins or ends with white space");
    }
    let hosts = headers.get_all(header::HOST);
    if let Some(authority) = request.uri().authority()
        && !hosts
            .iter()
            .all(|host| is_same(authority, host, request.uri()))
    {
        return malformed("the Host header is not the :authority");
    }
    Ok(())
}

fn has_space_around(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

/// Whether a Host header names the authority, in letters of any case and with or without the port that goes without
/// saying.
fn is_same(authority: &Authority, host: &HeaderValue, uri: &Uri) -> bool {
    let Ok(host) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let default = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = |of: &Authority| of.port_u16().unwrap_or(default);
    authority.host().eq_ignore_ascii_case(host.host()) && port(authority) == port(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_said_twice_must_be_the_same() {
        for (target, host, is_good) in [
            ("http://here/", "here", true),
            ("http://here/", "HERE:80", true),
            ("http://here:80/", "here", true),
            ("https://here/", "here:443", true),
            ("https://here/", "here:80", false),
            ("http://here/", "there", false),
            ("http://here/", "here:81", false),
            ("http://here/", "", false),
            ("/", "there", true),
        ] {
            let request = Request::get(target).header(header::HOST, host);
            let found = check(&request.body(()).unwrap(), 10);
            assert_eq!(found.is_ok(), is_good, "{target} {host:?}: {found:?}");
        }
    }

    #[test]
    fn a_value_is_without_white_space_around() {
        for (value, is_good) in [("", true), ("a b", true), (" a", false), ("a\t", false)] {
            let mut request = Request::new(());
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert("x", value.clone());
            assert_eq!(check(&request, 10).is_ok(), is_good, "{value:?}");
        }
    }

    #[test]
    fn no_more_fields_are_taken_than_may_be() {
        let mut request = Request::new(());
        for _ in 0..3 {
            request
                .headers_mut()
                .append("x", HeaderValue::from_static("y"));
        }
        assert!(check(&request, 3).is_ok());
        assert_eq!(check(&request, 2).unwrap_err().cause, Cause::HeadTooLarge);
    }
}
