//! Who may come in, and how that is proved.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skep_policy::identity::{Algorithm, Rules};
use skep_policy::quote::quoted;

use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawAuth;
use crate::config::secret::SecretDigest;

pub(crate) use self::basic::htpasswd;

mod api_key;
mod basic;
mod jwt;
mod names;

const REALM_DEFAULT: &str = "skep";
const REALM_CHARS_MAX: usize = 64;

/// Who may come in: who proves it in one of these ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// Whether requests that prove nothing, and do not try, come in as nobody's.
    pub optional: bool,
    /// Whether the service gets what the request proves it with.
    pub forward: bool,
    /// What clients are told that they ask for: printable, without quotes.
    pub realm: String,
    /// By a token.
    pub jwt: Option<Jwt>,
    /// By user and password.
    pub basic: Option<Basic>,
    /// By a key.
    pub api_key: Option<ApiKeys>,
}

/// Tokens that issuers sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwt {
    /// Where the issuer's keys are.
    pub keys: KeySource,
    /// How they may be used.
    pub algorithms: Vec<Algorithm>,
    /// What tokens must say.
    pub rules: Rules,
    /// The header that has the token.
    pub header: String,
    /// The cookie that has it where the header does not.
    pub cookie: Option<String>,
    /// The headers that services are told claims in: by header, which is lower-case, the claim.
    pub claims: BTreeMap<String, String>,
}

/// Where an issuer's keys are, and how long they are good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySource {
    /// Where they are.
    pub location: Location,
    /// From one look to the next, of a URL.
    pub refresh: Duration,
    /// Shortest time from one look to the next when a token has a key that is not known.
    pub cooldown: Duration,
    /// How long they are good for without another look that succeeds.
    pub stale: Duration,
}

/// Where something is read, and read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Location {
    /// A file; absolute.
    File(PathBuf),
    /// A URL: https, or http to this machine.
    Url(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// Users and their passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basic {
    /// These.
    Listed(Users),
    /// Those of a file as `htpasswd -B` writes it; absolute.
    File(PathBuf),
}

/// What is kept of users' passwords, by name.
pub type Users = BTreeMap<String, PasswordHash>;

/// A bcrypt hash, in its common form. Its debug form hides it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PasswordHash {
    pub(crate) hash: String,
    pub(crate) cost: u32,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Keys that clients send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeys {
    /// The header that has the key, lower-case.
    pub header: String,
    /// What is kept of each: its holder's name, by its digest.
    pub keys: BTreeMap<SecretDigest, String>,
}

pub(super) fn resolve(raw: RawAuth, scope: &Scope<'_>) -> Result<Auth, ConfigError> {
    let at = |key| scope.below(&[key]);
    let jwt = raw.jwt.map(|raw| jwt::resolve(raw, &at("jwt")));
    let basic = raw.basic.map(|raw| basic::resolve(raw, &at("basic")));
    let api_key = raw.api_key.map(|raw| api_key::resolve(raw, &at("api_key")));
    let auth = Auth {
        optional: raw.optional.unwrap_or(false),
        forward: raw.forward.unwrap_or(false),
        realm: realm(raw.realm, scope)?,
        jwt: jwt.transpose()?,
        basic: basic.transpose()?,
        api_key: api_key.transpose()?,
    };
    if auth.jwt.is_none() && auth.basic.is_none() && auth.api_key.is_none() {
        let what = "lets nobody in: say how requests prove whose they are in jwt, basic or api_key";
        return Err(scope.error(&[], what));
    }
    let key = auth.api_key.as_ref().map(|keys| keys.header.as_str());
    if let (Some(jwt), Some(key)) = (&auth.jwt, key)
        && (jwt.header == key || jwt.claims.contains_key(key))
    {
        let what = format!("{} is a header of jwt, too: name another", quoted(key));
        return Err(scope.error(&["api_key", "header"], what));
    }
    Ok(auth)
}

fn realm(given: Option<String>, scope: &Scope<'_>) -> Result<String, ConfigError> {
    let realm = given.unwrap_or_else(|| REALM_DEFAULT.to_owned());
    let is_plain = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !b"\"\\".contains(&byte);
    if (1..=REALM_CHARS_MAX).contains(&realm.len()) && realm.bytes().all(is_plain) {
        return Ok(realm);
    }
    let what = format!(
        "must be 1 to {REALM_CHARS_MAX} printable ASCII characters without quotes or backslashes"
    );
    Err(scope.error(&["realm"], what))
}
