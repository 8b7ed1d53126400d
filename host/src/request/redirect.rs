//! Requests that come without TLS where the settings want it: sent to where it is spoken.

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};

use super::body::OutgoingBody;
use super::dispatch;

/// Where authorities look for what proves who has a name (RFC 8555, 8.3). They come without TLS, to names that may have
/// no certificate yet.
const CHALLENGES: &str = "/.well-known/acme-challenge/";
const HTTPS_PORT: u16 = 443;

/// The answer that sends the client to the same URL at the port that speaks TLS; None if the request is to be served, or
/// refused, as it is. The method and the body stay what they are (RFC 9110, 15.4.9).
pub(super) fn to_tls<B>(request: &Request<B>, port: u16) -> Option<Response<OutgoingBody>> {
    let path = request.uri().path();
    if path.starts_with(CHALLENGES) || !path.starts_with('/') {
        return None;
    }
    let authority = dispatch::authority(request).ok()?;
    let host = authority.host();
    let port = match port {
        HTTPS_PORT => String::new(),
        port => format!(":{port}"),
    };
    let rest = request.uri().path_and_query()?;
    let location = HeaderValue::try_from(format!("https://{host}{port}{rest}")).ok()?;
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(target: &str, host: &str, port: u16) -> Option<String> {
        let request = Request::get(target).header(header::HOST, host);
        let response = to_tls(&request.body(()).unwrap(), port)?;
        assert_eq!(response.status(), 308);
        let location = &response.headers()[header::LOCATION];
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_url_stays_the_same_but_for_scheme_and_port() {
        for (target, host, port, expected) in [
            ("/", "shop.example", 443, "https://shop.example/"),
            (
                "/a?b=c",
                "shop.example:8080",
                8443,
                "https://shop.example:8443/a?b=c",
            ),
            ("//b", "shop.example", 443, "https://shop.example//b"),
            ("/a", "[::1]:80", 443, "https://[::1]/a"),
            ("http://there/a", "here", 443, "https://there/a"),
        ] {
            assert_eq!(location(target, host, port).as_deref(), Some(expected));
        }
    }

    #[test]
    fn challenges_and_what_is_malformed_stay_where_they_are() {
        for (target, host) in [
            ("/.well-known/acme-challenge/x", "shop.example"),
            ("/", ""),
            ("/", "user@shop.example"),
            ("*", "shop.example"),
        ] {
            assert_eq!(location(target, host, 443), None, "{target} {host}");
        }
    }
}
