//! Sites: browsers say of every page which it is of, and for WebSockets leave it to the server what that means.

use serde::{Deserialize, Serialize};

use crate::quote::quoted;

/// `scheme://host` or `scheme://host:port`, in lower case and without a port that goes without saying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin(String);

/// What is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no origin: write a scheme and a host, such as \"https://shop.example\" or \"http://localhost:5173\"",
    quoted(.0)
)]
pub struct OriginError(String);

impl TryFrom<&str> for Origin {
    type Error = OriginError;

    fn try_from(text: &str) -> Result<Self, OriginError> {
        let split = split(text).map(|(scheme, authority)| format!("{scheme}://{authority}"));
        split.map(Self).ok_or_else(|| OriginError(text.to_owned()))
    }
}

impl Origin {
    /// Whether a browser that says this means it.
    #[must_use]
    pub fn is(&self, said: &str) -> bool {
        Self::try_from(said).is_ok_and(|said| said == *self)
    }
}

/// Whether an origin is of this host, which may have a port, by this scheme.
pub(super) fn is_of(origin: &str, scheme: &str, host: &str) -> bool {
    let Some((said, authority)) = split(origin) else {
        return false;
    };
    said == scheme && authority == without_default_port(scheme, host)
}

fn split(text: &str) -> Option<(String, String)> {
    let (scheme, authority) = text.split_once("://")?;
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let of_authority = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_sound = !scheme.is_empty()
        && scheme.bytes().all(of_scheme)
        && !authority.is_empty()
        && authority.bytes().all(of_authority);
    let scheme = scheme.to_ascii_lowercase();
    is_sound.then(|| {
        let authority = without_default_port(&scheme, authority);
        (scheme, authority)
    })
}

fn without_default_port(scheme: &str, authority: &str) -> String {
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let authority = authority.to_ascii_lowercase();
    let short = authority.strip_suffix(port).map(str::to_owned);
    short.unwrap_or(authority)
}
