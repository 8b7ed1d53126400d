//! Who may ask: holders of the token, and nobody's web page.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Request, Version};

use crate::config::Token;

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

/// Whether a request presents the token, if one is needed.
pub(super) fn is_authorised(token: Option<&Token>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        return false;
    };
    let Some((scheme, given)) = given.to_str().ok().and_then(|given| given.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && token.matches(given.trim())
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
    fn the_token_and_nothing_else_opens() {
        let token = Token::try_from("0123456789abcdef").unwrap();
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            is_authorised(Some(&token), &headers)
        };
        assert!(is_authorised(None, &HeaderMap::new()));
        assert!(with(&["Bearer 0123456789abcdef"]) && with(&["bearer  0123456789abcdef"]));
        assert!(
            !with(&[]) && !with(&["Bearer"]) && !with(&["Bearer "]) && !with(&["0123456789abcdef"])
        );
        assert!(!with(&["Basic 0123456789abcdef"]) && !with(&["Bearer 0123456789abcdeF"]));
        assert!(!with(&[
            "Bearer 0123456789abcdef",
            "Bearer 0123456789abcdef"
        ]));
    }
}
