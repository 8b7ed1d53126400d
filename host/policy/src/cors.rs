//! Which pages on other origins may read what a service answers (the Fetch standard's CORS protocol).
//!
//! Origins are compared as browsers send them, byte by byte: what only looks like an origin is none.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quote::quoted;
use crate::routes::Method;

/// What stands for every origin, method or header.
const ANY: &str = "*";
/// Ports that browsers leave out.
const DEFAULT_PORTS: [(&str, &str); 2] = [("http", "80"), ("https", "443")];

/// What a route allows pages of other origins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// The origins.
    pub origins: Vec<OriginPattern>,
    /// Methods beyond those that need no permission.
    pub methods: Names,
    /// Request headers beyond those that need no permission.
    pub headers: Names,
    /// Headers of answers beyond those that every page may read.
    pub expose_headers: Names,
    /// Whether pages may send cookies and the like.
    pub credentials: bool,
    /// For how long a browser may remember what a preflight was answered.
    pub max_age: Duration,
}

/// Names in a header of the protocol: as they are sent, separated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names(Vec<String>);

/// Origins that a policy names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum OriginPattern {
    /// Every origin.
    Any,
    /// This one.
    Exact(String),
    /// All whose host lies below a domain: what is before the host's labels, and what is after them, the dot included.
    Below {
        /// The scheme, up to where the host begins.
        before: String,
        /// The domain with a dot before it, and the port if there is one.
        after: String,
    },
}

/// Why a policy is none; its display says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// Not as browsers write an origin.
    #[error(
        "{} is not an origin: write a scheme and a host as in \"https://example.com\", \"https://*.example.com\", or \"*\"",
        quoted(.0)
    )]
    Malformed(String),
    /// An origin has no path.
    #[error("an origin has no path: write \"{}\", not {}", .0, quoted(.1))]
    Path(String, String),
    /// What every sandboxed page and every file says of itself.
    #[error("\"null\" is the origin of whoever hides it: name the pages' own")]
    Null,
    /// A header's name that is none.
    #[error("{} is not the name of a header", quoted(.0))]
    NotAName(String),
    /// Browsers take `*` for a name when there are credentials, and any page could act for its reader.
    #[error("\"*\" does not go together with `credentials = true`: name what is allowed")]
    AnyWithCredentials,
}

/// What an answer says of the page that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Any page may read it, and it is the same for all of them.
    Any,
    /// The page that asked may read it; another would be told something else.
    Origin,
    /// No page may; one that is allowed would be told something else.
    Nothing,
}

impl Grant {
    /// Whether caches have to keep apart what is answered to different origins.
    #[must_use]
    pub fn varies(self) -> bool {
        self != Self::Any
    }
}

impl Cors {
    /// Whether its parts go together.
    ///
    /// # Errors
    /// [`CorsError::AnyWithCredentials`].
    pub fn check(&self) -> Result<(), CorsError> {
        let lists = [&self.methods, &self.headers, &self.expose_headers];
        let has_any = self.is_open() || lists.iter().any(|list| list.has_any());
        if self.credentials && has_any {
            return Err(CorsError::AnyWithCredentials);
        }
        Ok(())
    }

    /// What an answer to a request with this `origin` header says.
    #[must_use]
    pub fn grant(&self, origin: Option<&[u8]>) -> Grant {
        if self.is_open() {
            return Grant::Any;
        }
        let takes = |origin| self.origins.iter().any(|pattern| pattern.takes(origin));
        match origin.is_some_and(takes) {
            true => Grant::Origin,
            false => Grant::Nothing,
        }
    }

    fn is_open(&self) -> bool {
        self.origins.contains(&OriginPattern::Any)
    }
}

impl Names {
    /// Methods; `*` for every one.
    ///
    /// # Errors
    /// If one of them is none.
    pub fn methods<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, crate::routes::MethodError> {
        let checked = names.into_iter().map(|name| match name {
            ANY => Ok(ANY.to_owned()),
            name => Method::try_from(name).map(|method| method.as_str().to_owned()),
        });
        Ok(Self(checked.collect::<Result<_, _>>()?))
    }

    /// Names of headers; `*` for every one but `authorization`, which is to be named.
    ///
    /// # Errors
    /// [`CorsError::NotAName`].
    pub fn headers<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, CorsError> {
        let checked = names.into_iter().map(|name| match is_token(name) {
            true => Ok(name.to_ascii_lowercase()),
            false => Err(CorsError::NotAName(name.to_owned())),
        });
        Ok(Self(checked.collect::<Result<_, _>>()?))
    }

    fn has_any(&self) -> bool {
        self.0.iter().any(|name| name == ANY)
    }

    /// As a header's value; None if there is nothing to say.
    #[must_use]
    pub fn value(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(", "))
    }
}

impl OriginPattern {
    /// Whether `origin`, as a browser sent it, is one of them.
    #[must_use]
    pub fn takes(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => own.as_bytes() == origin,
            Self::Below { before, after } => {
                let labels = origin
                    .strip_prefix(before.as_bytes())
                    .and_then(|rest| rest.strip_suffix(after.as_bytes()));
                // Nothing of what could end a host or begin one.
                labels.is_some_and(|labels| {
                    labels.split(|byte| *byte == b'.').all(|label| {
                        !label.is_empty() && label.iter().all(|byte| is_of_label(*byte))
                    })
                })
            }
        }
    }
}

impl TryFrom<&str> for OriginPattern {
    type Error = CorsError;

    fn try_from(text: &str) -> Result<Self, CorsError> {
        match text {
            ANY => return Ok(Self::Any),
            "null" => return Err(CorsError::Null),
            _ => {}
        }
        let malformed = || CorsError::Malformed(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or_else(malformed)?;
        if let Some((authority, _)) = authority.split_once('/')
            && !authority.is_empty()
        {
            let without = format!("{scheme}://{authority}");
            return Err(CorsError::Path(without, text.to_owned()));
        }
        let (host, port) = split_port(authority).ok_or_else(malformed)?;
        let port = match port {
            Some(port) if DEFAULT_PORTS.contains(&(scheme, port)) => String::new(),
            Some(port) => format!(":{port}"),
            None => String::new(),
        };
        let below = host.strip_prefix("*.");
        if !is_scheme(scheme) || !is_host(below.unwrap_or(host)) {
            return Err(malformed());
        }
        Ok(match below {
            Some(domain) => Self::Below {
                before: format!("{scheme}://"),
                after: format!(".{domain}{port}"),
            },
            None => Self::Exact(format!("{scheme}://{host}{port}")),
        })
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = CorsError;

    fn try_from(text: String) -> Result<Self, CorsError> {
        Self::try_from(text.as_str())
    }
}

impl From<OriginPattern> for String {
    fn from(pattern: OriginPattern) -> Self {
        match pattern {
            OriginPattern::Any => ANY.to_owned(),
            OriginPattern::Exact(origin) => origin,
            OriginPattern::Below { before, after } => format!("{before}*{after}"),
        }
    }
}

/// The host, in brackets if it is an IPv6 address, and the port, if there is one and it is sound.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let host_bytes = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_bytes);
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = rest.strip_prefix(':')?;
    // As browsers write it: no zeros before it.
    let is_sound = port
        .parse::<u16>()
        .is_ok_and(|number| number.to_string() == port);
    is_sound.then_some((host, Some(port)))
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_host(host: &str) -> bool {
    match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(is_of_label)),
    }
}

fn is_of_label(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
}

/// Whether a text is a token (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_token)
}
