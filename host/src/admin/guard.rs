//! Who may ask: holders of the token, and nobody's web page.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Request, Version};
use skep_policy::identity::{self, Presented};

/// Whether a request to an API that listens on a loopback address was meant for this machine.
///
/// A page of another site can have its own name resolve to 127.0.0.1 and then send requests here from an operator's
/// browser; they carry that name. Addresses and `localhost` can't be made to mean anything else.
pub(super) fn is_meant_for_this_machine<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return false;
    }
    let from_header = header.map(|host| host.to_str().unwrap_or_default());
    let from_target = request.uri().authority().map(http::uri::Authority::as_str);
    match (from_target, from_header) {
        (None, None) => request.version() == Version::HTTP_10,
        (target, header) => [target, header].into_iter().flatten().all(is_local_name),
    }
}

/// `localhost` or an IP address, with or without a port.
fn is_local_name(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest
            .split_once(']')
            .is_some_and(|(host, port)| host.parse::<Ipv6Addr>().is_ok() && is_port_suffix(port));
    }
    let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
    is_port_suffix(port)
        && (host.eq_ignore_ascii_case("localhost") || host.parse::<Ipv4Addr>().is_ok())
}

fn is_port_suffix(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Whether a browser sent a request for a page of another site. Nobody but browsers says where a request comes from, and
/// browsers always do.
pub(super) fn is_from_elsewhere<B>(request: &Request<B>) -> bool {
    let text = |name: &str| {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return true;
    }
    let Some(origin) = text("origin") else {
        return false;
    };
    let host = request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| text("host"));
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    of_origin.is_none() || of_origin != host
}

/// The token that a request presents.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        return None;
    };
    match identity::presented(given.as_bytes()) {
        Presented::Token(token) => std::str::from_utf8(token).ok(),
        Presented::Password(_) | Presented::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, host: Option<&str>) -> Request<()> {
        let mut request = Request::get(target);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn addresses_and_localhost_are_this_machine() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8081",
            "[::1]:8081",
            "[::1]",
            "localhost",
            "LOCALHOST:8081",
            "10.0.0.7:1",
        ] {
            assert!(
                is_meant_for_this_machine(&request("/", Some(host))),
                "{host}"
            );
            assert!(
                is_meant_for_this_machine(&request(&format!("http://{host}/"), None)),
                "{host}"
            );
        }
    }

    #[test]
    fn names_that_could_lead_here_by_somebody_elses_will_are_not() {
        let hosts = [
            "rebound.example",
            "rebound.example:8081",
            "localhost.example",
            "127.0.0.1.example",
            "localhost:8081:x",
            "",
            "::1",
            "[::1",
            "[::1]x",
            "[localhost]",
            "127.1",
            "0x7f.0.0.1",
            "localhost:99999",
            "user@localhost",
        ];
        for host in hosts {
            assert!(
                !is_meant_for_this_machine(&request("/", Some(host))),
                "{host}"
            );
        }
        assert!(!is_meant_for_this_machine(&request(
            "http://127.0.0.1/",
            Some("rebound.example")
        )));
        assert!(!is_meant_for_this_machine(&request(
            "http://rebound.example/",
            Some("127.0.0.1")
        )));
        let mut twice = request("/", Some("localhost"));
        twice
            .headers_mut()
            .append(HOST, "rebound.example".parse().unwrap());
        assert!(!is_meant_for_this_machine(&twice));
    }

    #[test]
    fn only_old_clients_may_say_no_host() {
        let mut request = request("/", None);
        assert!(!is_meant_for_this_machine(&request));
        *request.version_mut() = Version::HTTP_10;
        assert!(is_meant_for_this_machine(&request));
    }

    #[test]
    fn one_bearer_is_one() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        let token = Some("0123456789abcdef".to_owned());
        assert_eq!(with(&["Bearer 0123456789abcdef"]), token);
        assert_eq!(with(&["bearer  0123456789abcdef"]), token);
        for none in [
            &[][..],
            &["Bearer"],
            &["0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(with(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_told_by_what_browsers_say() {
        let from = |headers: &[(&str, &str)]| {
            let mut request = request("/", Some("localhost:8081"));
            for (name, value) in headers {
                let name: http::HeaderName = name.parse().unwrap();
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            is_from_elsewhere(&request)
        };
        assert!(!from(&[]) && !from(&[("origin", "http://localhost:8081")]));
        assert!(!from(&[("sec-fetch-site", "same-origin")]));
        assert!(from(&[("origin", "http://evil.example")]) && from(&[("origin", "null")]));
        assert!(from(&[("origin", "http://localhost:8082")]));
        assert!(
            from(&[("sec-fetch-site", "cross-site")]) && from(&[("sec-fetch-site", "same-site")])
        );
    }
}
