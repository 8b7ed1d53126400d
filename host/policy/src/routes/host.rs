//! Hosts as routes and allow-lists name them, and hosts as requests spell them.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::quote::quoted;

/// Most characters of a host name, as in DNS.
pub(super) const HOST_LEN_MAX: usize = 253;

/// A host name, an IP address, or `*.` and a host name, which stands for every host below it at any depth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostPattern {
    wildcard: bool,
    /// Normalised; without the `*.`.
    name: String,
}

/// Why a text is no host pattern; its display says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Hosts are matched without their port.
    #[error("{} names a port: hosts are matched without one; write {}", quoted(.0), quoted(.1))]
    Port(String, String),
    /// A star somewhere else than in front, or alone.
    #[error("{} has a misplaced *: it stands only in front, as in \"*.example.com\"", quoted(.0))]
    Star(String),
    /// Names beyond ASCII are matched in the form they have in requests.
    #[error("{} is not ASCII: write the host as requests carry it, in punycode (xn--…)", quoted(.0))]
    NotAscii(String),
    /// Anything else.
    #[error(
        "{} is not a host: write a name such as \"shop.example\", \"*.shop.example\" or an IP address",
        quoted(.0)
    )]
    Malformed(String),
}

impl HostPattern {
    /// Whether the pattern stands for the hosts below a name instead of for one host.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The normalised host; of a wildcard what follows `*.`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a request to `host` (as spelt by the client, with or without a port) is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = normalise(host);
        if self.wildcard {
            parents(&host).any(|parent| parent == self.name)
        } else {
            *host == self.name
        }
    }
}

impl TryFrom<&str> for HostPattern {
    type Error = HostError;

    fn try_from(text: &str) -> Result<Self, HostError> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(HostError::Star(text.to_owned()));
        }
        if !text.is_ascii() {
            return Err(HostError::NotAscii(text.to_owned()));
        }
        if without_port(name) != name && name.parse::<Ipv6Addr>().is_err() {
            let wanted = text[..text.len() - name.len()].to_owned() + without_port(name);
            return Err(HostError::Port(text.to_owned(), wanted));
        }
        let name = normalise(name).into_owned();
        let address = is_address(&name);
        if (wildcard && address) || !(address || is_host_name(&name)) {
            return Err(HostError::Malformed(text.to_owned()));
        }
        Ok(Self { wildcard, name })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*." } else { "" }, self.name)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        Self::try_from(text.as_str())
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

/// A request's host in the one form that is compared: lower case, without port and trailing dot, IPv6
/// addresses bracketed in their canonical form. Borrows if it has that form already.
#[must_use]
pub fn normalise(host: &str) -> Cow<'_, str> {
    let host = without_port(host);
    if let Ok(address) = unbracketed(host).unwrap_or(host).parse::<Ipv6Addr>() {
        return Cow::Owned(format!("[{address}]"));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// The names above a normalised host, nearest first: of `a.b.c` these are `b.c` and `c`; of an address none.
pub(super) fn parents(host: &str) -> impl Iterator<Item = &str> {
    let host = if host.len() > HOST_LEN_MAX || is_address(host) {
        ""
    } else {
        host
    };
    std::iter::successors(parent(host), |above| parent(above))
}

fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, above)| above)
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    match host.rsplit_once(':') {
        // More than one colon is an IPv6 address without brackets: no port can be told from it.
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    }
}

fn unbracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

fn is_address(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok()
        || unbracketed(host).is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= HOST_LEN_MAX && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::try_from(text).unwrap()
    }

    #[test]
    fn a_host_is_compared_without_case_port_and_trailing_dot() {
        for host in [
            "shop.example",
            "SHOP.Example",
            "shop.example:8080",
            "shop.example.",
            "Shop.example.:80",
        ] {
            assert!(pattern("shop.example").matches(host), "{host}");
        }
        for host in [
            "",
            "example",
            "shop.example.org",
            "xshop.example",
            "shop.example:http",
        ] {
            assert!(!pattern("shop.example").matches(host), "{host}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_what_is_below_it_at_any_depth() {
        for host in ["a.example.com", "A.EXAMPLE.COM:1", "a.b.example.com."] {
            assert!(pattern("*.Example.com").matches(host), "{host}");
        }
        for host in ["example.com", "aexample.com", "a.example.com.evil", "com"] {
            assert!(!pattern("*.example.com").matches(host), "{host}");
        }
    }

    #[test]
    fn addresses_are_hosts_in_their_canonical_form() {
        assert!(pattern("[::1]").matches("[0:0::1]:8080"));
        assert!(pattern("::1").matches("[::1]"));
        assert!(pattern("127.0.0.1").matches("127.0.0.1:80"));
        assert_eq!(pattern("[0:0:0::1]").to_string(), "[::1]");
        assert!(!pattern("*.1").matches("1.1.1.1"));
    }

    #[test]
    fn a_host_longer_than_a_host_can_be_is_not_taken_apart() {
        assert_eq!(parents("a.b.c").collect::<Vec<_>>(), ["b.c", "c"]);
        assert_eq!(parents(&"a.".repeat(HOST_LEN_MAX)).count(), 0);
    }

    #[test]
    fn what_is_no_host_is_refused_with_a_way_out() {
        for (text, message) in [
            (
                "shop.example:80",
                "\"shop.example:80\" names a port: hosts are matched without one; write \"shop.example\"",
            ),
            (
                "[::1]:80",
                "\"[::1]:80\" names a port: hosts are matched without one; write \"[::1]\"",
            ),
            (
                "*",
                "\"*\" has a misplaced *: it stands only in front, as in \"*.example.com\"",
            ),
            (
                "a.*.b",
                "\"a.*.b\" has a misplaced *: it stands only in front, as in \"*.example.com\"",
            ),
            (
                "é.example",
                "\"é.example\" is not ASCII: write the host as requests carry it, in punycode (xn--…)",
            ),
        ] {
            assert_eq!(
                HostPattern::try_from(text).unwrap_err().to_string(),
                message
            );
        }
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "*.",
            "a..b",
            "-a.b",
            "a b",
            "http://a",
            "a/b",
            "[::1",
            "*.[::1]",
            "*.1.1.1.1",
            &long,
        ] {
            assert!(HostPattern::try_from(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        // The last label has a letter in front, as every top-level domain: four numbers would be an address.
        fn a_pattern_reads_back_and_matches_itself(text in "(\\*\\.)?([a-zA-Z0-9]{1,5}\\.){0,3}[a-zA-Z][a-z0-9]{0,4}") {
            let pattern = pattern(&text);
            prop_assert_eq!(&HostPattern::try_from(pattern.to_string().as_str()).unwrap(), &pattern);
            let host = text.replace('*', "any");
            prop_assert!(pattern.matches(&host));
        }

        #[test]
        fn normalising_twice_changes_nothing(host in "[a-zA-Z0-9.:\\[\\]-]{0,30}|.{0,30}") {
            // A port behind a port is no host at all; what is left of it only must not panic.
            let once = normalise(&host).into_owned();
            if !once.contains(':') {
                let twice = normalise(&once).into_owned();
                prop_assert_eq!(once.trim_end_matches('.'), twice.trim_end_matches('.'));
            }
        }
    }
}
