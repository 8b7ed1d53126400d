//! Who may ask the admin API for what: tokens, of which the host keeps no more than their digests.

use std::fmt;
use std::ops::Deref;

use super::secret::SecretDigest;

/// Fewest characters of a token: what can't be guessed over the network.
const TOKEN_LEN_MIN: usize = 16;
/// Most characters of a token.
const TOKEN_LEN_MAX: usize = 1024;

/// A secret that a client of the admin API presents. Its debug form hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A text that can't serve as a token. The text itself isn't repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token is {TOKEN_LEN_MIN} to {TOKEN_LEN_MAX} visible ASCII characters: \
     make one with `openssl rand -hex 32`"
)]
pub struct TokenError;

/// What the holder of a token may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Read,
    /// Deploy, roll back and remove.
    Deploy,
    /// See who did what.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Read, Self::Deploy, Self::Admin];

    /// The word in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name, or `anonymous`.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// The tokens that a host knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Known>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    caller: Caller,
    digest: SecretDigest,
}

impl Tokens {
    /// Whether anybody may do anything, as on a host without tokens.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Knows one more: by itself.
    pub(crate) fn add(&mut self, caller: Caller, token: &Token) {
        self.add_digest(caller, SecretDigest::of(token.0.as_bytes()));
    }

    /// Knows one more: by its digest.
    pub(super) fn add_digest(&mut self, caller: Caller, digest: SecretDigest) {
        self.0.push(Known { caller, digest });
    }

    /// Whether a name is taken.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.caller.name == name)
    }

    /// Whose token was given. What is compared are digests, all of them: how long that takes says nothing of the tokens.
    #[must_use]
    pub fn identify(&self, given: &str) -> Option<Caller> {
        let given = SecretDigest::of(given.as_bytes());
        let known = |found, known: &'_ Known| match known.digest == given {
            true => Some(known.caller.clone()),
            false => found,
        };
        self.0.iter().fold(None, known)
    }
}

impl TryFrom<&str> for Token {
    type Error = TokenError;

    fn try_from(text: &str) -> Result<Self, TokenError> {
        let fits = (TOKEN_LEN_MIN..=TOKEN_LEN_MAX).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TokenError)
        }
    }
}

impl Deref for Token {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_own_holder_s_only_and_is_never_shown() {
        let token = Token::try_from("0123456789abcdef").unwrap();
        let caller = Caller {
            name: "ci".into(),
            role: Role::Deploy,
        };
        let mut tokens = Tokens::default();
        tokens.add(caller.clone(), &token);
        assert_eq!(tokens.identify("0123456789abcdef"), Some(caller));
        assert_eq!(tokens.identify("0123456789abcdeF"), None);
        assert_eq!(tokens.identify(""), None);
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn what_can_be_guessed_or_not_be_sent_is_refused() {
        for text in [
            "",
            "short",
            "0123456789abcde ",
            "0123456789abcdé",
            &"x".repeat(1025),
        ] {
            assert_eq!(Token::try_from(text), Err(TokenError), "{text}");
        }
    }
}
