//! Who sent a request from outside, once that is verified. What it was verified by is not kept.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use skep_policy::identity::{Claims, find, is_fit};

use super::headers;

/// How a request proved who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// By a token.
    Jwt,
    /// By user and password.
    Basic,
    /// By a key.
    ApiKey,
}

impl Scheme {
    /// The word that services are told.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Basic => "basic",
            Self::ApiKey => "api_key",
        }
    }
}

/// Somebody who is known. Its debug form says how, and nothing else.
pub(crate) struct Identity {
    pub(crate) scheme: Scheme,
    value: HeaderValue,
    /// What services are told beside that.
    told: Vec<(HeaderName, HeaderValue)>,
    claims: Claims,
    /// When the proof stops to hold, since 1970; None if it says nothing of that.
    pub(crate) until: Option<Duration>,
}

impl Identity {
    /// Of one who has a name that a header can say.
    pub(crate) fn new(scheme: Scheme, name: &str) -> Option<Self> {
        if !is_fit(name) {
            return None;
        }
        Some(Self {
            scheme,
            value: HeaderValue::from_bytes(name.as_bytes()).ok()?,
            told: Vec::new(),
            claims: Claims::new(),
            until: None,
        })
    }

    /// The same by a token with these claims, of which services are told some in headers.
    pub(crate) fn with_claims(self, claims: Claims, told: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self {
            told,
            claims,
            ..self
        }
    }

    /// The same by what holds until then, since 1970.
    pub(crate) fn until(self, until: Duration) -> Self {
        Self {
            until: Some(until),
            ..self
        }
    }

    /// The name, as UTF-8.
    pub(crate) fn name(&self) -> &[u8] {
        self.value.as_bytes()
    }

    /// Who says that it is so, if that is in a token.
    pub(crate) fn issuer(&self) -> Option<&Value> {
        self.claims.get("iss")
    }

    /// A claim of the token.
    pub(crate) fn claim(&self, name: &str) -> Option<&Value> {
        find(&self.claims, name)
    }

    /// Says in the headers of a request who sent it, and nothing of claims.
    pub(crate) fn introduce(&self, headers: &mut HeaderMap) {
        let how = HeaderValue::from_static(self.scheme.as_str());
        headers::insert_identity(headers, self.value.clone(), how);
    }

    /// Says in the headers of a request what the route tells its service of the claims.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.told {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Somebody is the same as another by how they are known, by whom, and by their name.
impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.scheme, self.issuer(), self.name()).hash(state);
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.scheme.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_known_by_a_name_that_is_another_s_once_it_is_read() {
        let is_known = |name: &str| Identity::new(Scheme::Basic, name).is_some();
        assert!(is_known("admin") && is_known("of all") && is_known("Ægir"));
        for name in ["admin ", " admin", "admin\t", "ad\u{85}min", "a\nb"] {
            assert!(!is_known(name), "{name:?}");
        }
    }
}
