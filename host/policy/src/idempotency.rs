//! Requests that are carried out once however often they are sent (draft-ietf-httpapi-idempotency-key-header).
//!
//! Times are milliseconds of the Unix epoch, since what is kept outlives the process.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::routes::Method;

/// Most bytes of a key.
pub const KEY_BYTES_MAX: usize = 255;

/// What a route does with keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// Whether a request without a key is refused.
    pub required: bool,
    /// Methods of the requests that it is about.
    pub methods: Vec<Method>,
    /// For how long a key is known.
    pub expiry: Duration,
    /// Most bytes of a request's body, and of an answer's that is kept.
    pub body_max: u64,
}

impl Default for Idempotency {
    fn default() -> Self {
        let methods = ["POST", "PATCH"].into_iter();
        Self {
            required: false,
            methods: methods
                .filter_map(|name| Method::try_from(name).ok())
                .collect(),
            expiry: Duration::from_secs(24 * 3600),
            body_max: 1 << 20,
        }
    }
}

/// What a request says of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The policy is not about it.
    Nothing,
    /// It is carried out once, by this key.
    Once(std::borrow::Cow<'a, str>),
    /// It has no key, and has to have one.
    Missing,
    /// It has one that is none, or several.
    Malformed,
}

impl Idempotency {
    /// What a request with this method and these `idempotency-key` headers asks for.
    pub fn asked<'a>(&self, method: &str, mut keys: impl Iterator<Item = &'a [u8]>) -> Asked<'a> {
        if !self.methods.iter().any(|own| own.as_str() == method) {
            return Asked::Nothing;
        }
        match (keys.next(), keys.next()) {
            (None, _) if self.required => Asked::Missing,
            (None, _) => Asked::Nothing,
            (Some(value), None) => key(value).map_or(Asked::Malformed, Asked::Once),
            (Some(_), Some(_)) => Asked::Malformed,
        }
    }
}

/// The key in a header's value: a string of RFC 8941, or, since clients leave the quotes out, a plain word.
fn key(value: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let key: std::borrow::Cow<'_, str> = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest)?.into(),
        None => text.bytes().all(is_of_word).then_some(text)?.into(),
    };
    (1..=KEY_BYTES_MAX).contains(&key.len()).then_some(key)
}

/// What a string holds whose first quote is gone already.
fn unquoted(rest: &str) -> Option<String> {
    let inner = rest.strip_suffix('"')?;
    let (mut key, mut characters) = (String::new(), inner.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => key.push(escaped),
                _ => return None,
            },
            ' '..='~' if character != '"' => key.push(character),
            _ => return None,
        }
    }
    Some(key)
}

/// What needs no quotes: nothing that separates or quotes in headers.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/=@".contains(&byte)
}

/// Whether what a service answered is kept: not where it says that another try may fare better.
#[must_use]
pub fn is_kept(status: u16) -> bool {
    !matches!(status, 408 | 425 | 429 | 500..)
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Of the request that came with it first.
    pub fingerprint: [u8; 32],
    /// When it is forgotten.
    pub expires: u64,
    /// How far that request is.
    pub state: State,
}

/// How far the request is that came first with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was begun, in the life of a host that has this number.
    Begun {
        /// The number.
        life: u64,
    },
    /// It was answered, and the answer is kept.
    Answered,
    /// It was answered with more than is kept.
    Lost,
}

/// What becomes of a request with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Run,
    /// It gets the answer that is kept.
    Replay,
    /// It is refused: the first is under way.
    InFlight,
    /// It is refused: nobody can say what was answered to the first, or whether it was carried out.
    InDoubt,
    /// It is refused: the key is another request's.
    Reused,
}

/// What becomes of a request with this `fingerprint`, in the `life` of a host.
///
/// Who sends another request with the same key is told so before anything else: that does not change with time. A request
/// that was under way when a host died may have been carried out, so it is not carried out again as long as its key is
/// known.
#[must_use]
pub fn judge(known: Option<&Known>, fingerprint: &[u8; 32], life: u64, now: u64) -> Verdict {
    match known.filter(|known| now < known.expires || is_under_way(known, life)) {
        None => Verdict::Run,
        Some(known) if known.fingerprint != *fingerprint => Verdict::Reused,
        Some(known) => match known.state {
            State::Answered => Verdict::Replay,
            State::Lost => Verdict::InDoubt,
            State::Begun { life: own } if own == life => Verdict::InFlight,
            State::Begun { .. } => Verdict::InDoubt,
        },
    }
}

/// Whether somebody waits for it: it is not forgotten before it has ended, however long that takes.
#[must_use]
pub fn is_under_way(known: &Known, life: u64) -> bool {
    known.state == State::Begun { life }
}
