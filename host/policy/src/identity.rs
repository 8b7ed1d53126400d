//! Who sent a request: what the head and the claims of a token must be, and how claims are told in headers.
//!
//! Nothing here looks at a signature. Whatever decides about a token is decided by the operator's rules and by the keys
//! that the issuer publishes, never by the token.

mod claims;
mod told;

#[cfg(test)]
mod tests;

use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use crate::quote::quoted;

pub use self::claims::{Claims, Rules, Verified, check, find};
pub use self::told::{Unfit, VALUE_BYTES_MAX, is_fit, tell};

/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Keys that a signature is tried with if the token does not say which one made it.
pub const KEYS_TRIED_MAX: usize = 8;

/// How a token can be signed. None that takes a shared secret: the keys are public.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, DeriveDeserialize,
)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name that tokens and configuration have for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name, as it is written (RFC 7518; RFC 9864 for `Ed25519`).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "Ed25519" => Some(Self::EdDsa),
            name => Self::ALL
                .into_iter()
                .find(|algorithm| algorithm.as_str() == name),
        }
    }
}

/// Why a token is not taken. The display is for the log: it quotes the token's head, never its signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// It is not three parts of base64url, or they hold something else than a token's.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// It names extensions that have to be understood (`crit`).
    #[error("the token's head has crit: no extension is understood")]
    Critical,
    /// Its algorithm is none that is allowed, or not that of the key that it names.
    #[error("the token's alg {} is not allowed, or not its key's", quoted(.0))]
    Algorithm(String),
    /// No key that is known can have made its signature.
    #[error("the token's key {} is not known", .0.as_deref().map_or_else(|| "(none named)".to_owned(), |kid| quoted(kid).to_string()))]
    UnknownKey(Option<String>),
    /// The signature is another's, or of something else.
    #[error("the token's signature is wrong")]
    Signature,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is of the future (`nbf`, `iat`).
    #[error("the token is not valid yet")]
    NotYet,
    /// Who issued it is none of those who may.
    #[error("the token's iss is not allowed")]
    Issuer,
    /// It is for others.
    #[error("the token's aud is others'")]
    Audience,
    /// It does not say whose it is.
    #[error("the token's claim {} names nobody", quoted(.0))]
    Nobody(String),
    /// A claim that guests are to be told can't be: it is an object, has control characters or white space at an end, or is
    /// too long.
    #[error("the token's claim {} fits no header", quoted(.0))]
    Untold(String),
    /// It is good, and whose it is may not do this.
    #[error("the token's claim {} has none of the values that are required", quoted(.0))]
    Lacks(String),
}

/// What a token says of its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    alg: String,
    kid: Option<String>,
}

#[derive(DeriveDeserialize)]
struct RawHead {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Present,
}

/// Whether a key is there, whatever its value: null, too.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl Head {
    /// Reads a head, decoded. Keys that it brings itself (`jwk`, `jku`, `x5c`, `x5u`) count for nothing.
    ///
    /// # Errors
    /// If it is no head, says something twice, or has `crit`.
    pub fn read(json: &[u8]) -> Result<Self, Refused> {
        let raw: RawHead =
            serde_json::from_slice(json).map_err(|_| Refused::Malformed("its head"))?;
        if raw.crit.0 {
            return Err(Refused::Critical);
        }
        Ok(Self {
            alg: raw.alg,
            kid: raw.kid,
        })
    }

    /// The keys that can have made the signature, by their places among `keys`, which are described by their id and
    /// algorithm. If the head names a key, its algorithm must be that key's: a token can't choose how it is verified.
    ///
    /// # Errors
    /// If there is none.
    pub fn candidates<'k>(
        &self,
        keys: impl Iterator<Item = (Option<&'k str>, Algorithm)>,
        allowed: &[Algorithm],
    ) -> Result<Vec<usize>, Refused> {
        let wrong = || Refused::Algorithm(self.alg.clone());
        let algorithm = Algorithm::named(&self.alg)
            .filter(|algorithm| allowed.contains(algorithm))
            .ok_or_else(wrong)?;
        let is_meant = |kid: Option<&str>| self.kid.is_none() || self.kid.as_deref() == kid;
        let mut is_known = false;
        let mut found = Vec::new();
        for (at, (kid, of_key)) in keys.enumerate() {
            if !is_meant(kid) {
                continue;
            }
            is_known = true;
            if of_key == algorithm && found.len() < KEYS_TRIED_MAX {
                found.push(at);
            }
        }
        match (found.is_empty(), is_known && self.kid.is_some()) {
            (false, _) => Ok(found),
            (true, true) => Err(wrong()),
            (true, false) => Err(Refused::UnknownKey(self.kid.clone())),
        }
    }
}

/// The three parts of a token in its compact form (RFC 7515, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'t> {
    /// The head, encoded.
    pub head: &'t str,
    /// The claims, encoded.
    pub claims: &'t str,
    /// The signature, encoded.
    pub signature: &'t str,
    /// What is signed.
    pub signed: &'t str,
}

/// Takes a token apart.
///
/// # Errors
/// If it is too long, or has not three parts of base64url.
pub fn parts(token: &[u8]) -> Result<Parts<'_>, Refused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Refused::TooLong);
    }
    let token = std::str::from_utf8(token).map_err(|_| Refused::Malformed("its characters"))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !token.bytes().all(is_plain) {
        return Err(Refused::Malformed("its characters"));
    }
    let shape = || Refused::Malformed("its parts");
    let (signed, signature) = token.rsplit_once('.').ok_or_else(shape)?;
    let (head, claims) = signed.split_once('.').ok_or_else(shape)?;
    if head.is_empty() || claims.is_empty() || signature.is_empty() || claims.contains('.') {
        return Err(shape());
    }
    Ok(Parts {
        head,
        claims,
        signature,
        signed,
    })
}

/// What an `Authorization` header presents (RFC 9110, 11.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'v> {
    /// `Bearer`.
    Token(&'v [u8]),
    /// `Basic`: user and password, encoded.
    Password(&'v [u8]),
    /// Another scheme, or nothing that is one.
    Other,
}

/// Reads an `Authorization` header. A scheme is written in any case.
#[must_use]
pub fn presented(value: &[u8]) -> Presented<'_> {
    let Some(space) = value.iter().position(|byte| *byte == b' ') else {
        return Presented::Other;
    };
    let (scheme, rest) = value.split_at(space);
    let start = rest.iter().position(|byte| *byte != b' ');
    let rest = start.map_or(&[][..], |start| &rest[start..]);
    match rest {
        [] => Presented::Other,
        token if scheme.eq_ignore_ascii_case(b"bearer") => Presented::Token(token),
        pair if scheme.eq_ignore_ascii_case(b"basic") => Presented::Password(pair),
        _ => Presented::Other,
    }
}

/// User and password of a decoded pair (RFC 7617, 2). None if it is none, or has control characters.
#[must_use]
pub fn pair(decoded: &str) -> Option<(&str, &str)> {
    if decoded.chars().any(char::is_control) {
        return None;
    }
    decoded.split_once(':').filter(|(user, _)| !user.is_empty())
}

/// The one cookie of this name in the values of the `Cookie` headers.
///
/// # Errors
/// If there are several: which of them is meant, nobody can say.
pub fn cookie<'v>(
    values: impl Iterator<Item = &'v [u8]>,
    name: &str,
) -> Result<Option<&'v [u8]>, Refused> {
    let mut found = None;
    for pair in values.flat_map(|value| value.split(|byte| *byte == b';')) {
        let pair = pair.trim_ascii();
        let Some(value) = pair
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
        else {
            continue;
        };
        if found.replace(value).is_some() {
            return Err(Refused::Malformed("its cookie is there twice"));
        }
    }
    Ok(found)
}

/// The pairs of a `Cookie` header without those of this name; None if it has no such pair.
#[must_use]
pub fn without_cookie(value: &[u8], name: &str) -> Option<Vec<u8>> {
    let is_other = |pair: &&[u8]| {
        let pair = pair.trim_ascii();
        let rest = pair.strip_prefix(name.as_bytes());
        !rest.is_some_and(|rest| rest.starts_with(b"="))
    };
    let pairs = || value.split(|byte| *byte == b';');
    if pairs().all(|pair| is_other(&pair)) {
        return None;
    }
    let left: Vec<_> = pairs().filter(is_other).map(<[u8]>::trim_ascii).collect();
    Some(left.join(&b"; "[..]))
}

/// Whether two names of headers may be one for whoever reads them: CGI programs, and others, don't tell `_` from `-`.
#[must_use]
pub fn may_be_same(one: &str, other: &str) -> bool {
    let plain = |byte: u8| match byte.to_ascii_lowercase() {
        b'_' => b'-',
        byte => byte,
    };
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
}
