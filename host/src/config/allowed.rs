//! The hosts that a service may send requests to.

use std::fmt;

use serde::{Deserialize, Serialize};
use skep_policy::quote::quoted;
use skep_policy::routes::HostPattern;

/// The domain under which services reach each other; never on the network.
const INTERNAL_DOMAIN: &str = "internal";

/// How an outgoing request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The scheme as URLs spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of URLs that state none.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// One entry of `allow.hosts`: scheme, host and port, each of which a request must match. A host `*.NAME`
/// stands for every host below `NAME`, not for `NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AllowedHost {
    /// The scheme.
    pub scheme: Scheme,
    /// The host or hosts.
    pub host: HostPattern,
    /// The port; the scheme's own if the entry states none.
    pub port: u16,
}

/// Why a text is no allowed host; its display says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {reason}", quoted(given))]
pub struct AllowedHostError {
    given: String,
    reason: String,
}

impl AllowedHost {
    /// Whether a request to `uri` may leave. A URI without scheme or host never may.
    #[must_use]
    pub fn matches(&self, uri: &http::Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return false;
        };
        // A port that is there but no number, or out of range, is nobody's.
        let after_host = authority
            .as_str()
            .rsplit_once('@')
            .map_or(authority.as_str(), |(_, rest)| rest);
        let port = match (
            authority.port_u16(),
            after_host.strip_prefix(authority.host()),
        ) {
            (Some(port), _) => port,
            (None, Some("")) => self.scheme.default_port(),
            (None, _) => return false,
        };
        scheme.eq_ignore_ascii_case(self.scheme.as_str())
            && port == self.port
            && self.host.matches(authority.host())
    }
}

impl TryFrom<&str> for AllowedHost {
    type Error = AllowedHostError;

    fn try_from(text: &str) -> Result<Self, AllowedHostError> {
        read(text).map_err(|reason| AllowedHostError {
            given: text.to_owned(),
            reason,
        })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.default_port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = AllowedHostError;

    fn try_from(text: String) -> Result<Self, AllowedHostError> {
        Self::try_from(text.as_str())
    }
}

impl From<AllowedHost> for String {
    fn from(host: AllowedHost) -> Self {
        host.to_string()
    }
}

fn read(text: &str) -> Result<AllowedHost, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        _ => {
            return Err(
                "must start with https:// or http://, as in \"https://api.example.com\"".to_owned(),
            );
        }
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@']) {
        return Err(
            "must be a scheme, a host and perhaps a port, with nothing after or between: \
                    write it as \"https://api.example.com:8443\""
                .to_owned(),
        );
    }
    let host_ends = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority[host_ends..].rfind(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(host_ends + colon);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    };
    let port = match port {
        None => scheme.default_port(),
        Some(port) => port
            .parse()
            .ok()
            .filter(|number| *number > 0 && port.bytes().all(|b| b.is_ascii_digit()))
            .ok_or("has no valid port: a port is a number from 1 to 65535")?,
    };
    let host = HostPattern::try_from(host).map_err(|error| format!("is not allowed: {error}"))?;
    if host.name() == INTERNAL_DOMAIN || host.name().ends_with(".internal") {
        return Err("is a service of this host: list it in allow.services by its name".to_owned());
    }
    Ok(AllowedHost { scheme, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allows(allowed: &str, uri: &str) -> bool {
        AllowedHost::try_from(allowed)
            .unwrap()
            .matches(&uri.parse().unwrap())
    }

    #[test]
    fn scheme_host_and_port_must_all_match() {
        for uri in [
            "https://api.example.com",
            "https://api.example.com:443/a?b",
            "HTTPS://API.example.COM/",
            "https://api.example.com./",
            "https://user@api.example.com/",
        ] {
            assert!(allows("https://api.example.com", uri), "{uri}");
        }
        for uri in [
            "http://api.example.com/",
            "http://api.example.com:443/",
            "https://api.example.com:8443/",
            "https://api.example.com:99999/",
            "https://example.com/",
            "https://api.example.com.evil/",
            "https://api.example.com@evil/",
            "https://evil/api.example.com",
            "/api.example.com",
        ] {
            assert!(!allows("https://api.example.com", uri), "{uri}");
        }
        assert!(allows("http://[::1]:8080", "http://[0::1]:8080/"));
        assert!(allows("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"));
    }

    #[test]
    fn a_star_stands_for_hosts_below_and_not_for_the_name_itself() {
        assert!(allows("https://*.example.com", "https://a.b.example.com/"));
        assert!(!allows("https://*.example.com", "https://example.com/"));
        assert!(!allows("https://*.example.com", "https://evilexample.com/"));
    }

    #[test]
    fn what_is_no_allowed_host_is_refused_with_a_way_out() {
        for (text, message) in [
            (
                "api.example.com",
                "\"api.example.com\" must start with https:// or http://, as in \"https://api.example.com\"",
            ),
            (
                "https://a/b",
                "\"https://a/b\" must be a scheme, a host and perhaps a port, with nothing after or between: \
                 write it as \"https://api.example.com:8443\"",
            ),
            (
                "https://a:0",
                "\"https://a:0\" has no valid port: a port is a number from 1 to 65535",
            ),
            (
                "https://a:+1",
                "\"https://a:+1\" has no valid port: a port is a number from 1 to 65535",
            ),
            (
                "https://*",
                "\"https://*\" is not allowed: \"*\" has a misplaced *: it stands only in front, as in \"*.example.com\"",
            ),
            (
                "http://payment.internal",
                "\"http://payment.internal\" is a service of this host: list it in allow.services by its name",
            ),
        ] {
            assert_eq!(
                AllowedHost::try_from(text).unwrap_err().to_string(),
                message
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_allowed_host_that_reads_back_or_an_error(
            text in "(https?://)?[a-z*.\\[\\]:0-9/@]{0,20}|.{0,30}"
        ) {
            if let Ok(host) = AllowedHost::try_from(text.as_str()) {
                prop_assert_eq!(AllowedHost::try_from(host.to_string().as_str()), Ok(host));
            }
        }
    }
}
