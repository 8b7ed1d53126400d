//! The admin API's token: never shown, compared in constant time.

use std::fmt;
use std::ops::Deref;

use sha2::{Digest, Sha256};

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

impl Token {
    /// Whether `given` is the token, in a time that says nothing about how much of it is right.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        Sha256::digest(&self.0) == Sha256::digest(given)
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
    fn a_token_matches_itself_only_and_is_never_shown() {
        let token = Token::try_from("0123456789abcdef").unwrap();
        assert!(token.matches("0123456789abcdef"));
        assert!(!token.matches("0123456789abcdeF") && !token.matches(""));
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
