//! Secrets that others hold: the host has their digests, and who holds them.

use std::fmt;

use serde::{Deserialize, Serialize};
use skep_policy::quote::quoted;

use crate::deploy::compile::Digest;

const NAME_CHARS_MAX: usize = 64;

/// The sha256 of a secret, written as 64 hexadecimal digits. Its debug form hides it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SecretDigest(Digest);

/// The text is not 64 hexadecimal digits. The text itself isn't repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a sha256 in 64 hexadecimal digits")]
pub struct NotASecretDigest;

impl SecretDigest {
    /// That of this secret.
    pub(crate) fn of(secret: &[u8]) -> Self {
        Self(Digest::of(secret))
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

impl TryFrom<&str> for SecretDigest {
    type Error = NotASecretDigest;

    fn try_from(text: &str) -> Result<Self, NotASecretDigest> {
        Digest::from_hex(text).map(Self).ok_or(NotASecretDigest)
    }
}

impl TryFrom<String> for SecretDigest {
    type Error = NotASecretDigest;

    fn try_from(text: String) -> Result<Self, NotASecretDigest> {
        Self::try_from(text.as_str())
    }
}

impl From<SecretDigest> for String {
    fn from(digest: SecretDigest) -> Self {
        digest.0.hex()
    }
}

/// What a file says of a secret: its digest, that of a `kind`, such as "key".
///
/// # Errors
/// What is wrong, and nothing of what was given.
pub(super) fn digest(given: Option<&str>, kind: &str) -> Result<SecretDigest, String> {
    SecretDigest::try_from(given.unwrap_or_default()).map_err(|_| {
        format!(
            "must be the {kind}'s sha256 in 64 hexadecimal digits: make a {kind} with `openssl rand -hex 32`, and \
             its digest with `printf %s {} | sha256sum`",
            kind.to_uppercase()
        )
    })
}

/// What a file says of a secret: what its holder is called, which is there so that `purpose`.
///
/// # Errors
/// What is wrong.
pub(super) fn holder(given: Option<String>, purpose: &str) -> Result<String, String> {
    let name = given.unwrap_or_default();
    let is_name = (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name {
        return Ok(name);
    }
    let name = quoted(&name);
    Err(format!(
        "{name} must be 1 to {NAME_CHARS_MAX} visible ASCII characters: {purpose}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_said_with_a_way_out() {
        assert_eq!(
            super::digest(None, "token").unwrap_err(),
            "must be the token's sha256 in 64 hexadecimal digits: make a token with `openssl rand -hex 32`, and its \
             digest with `printf %s TOKEN | sha256sum`"
        );
        let longest = "x".repeat(NAME_CHARS_MAX);
        for name in ["a", "ci@example", &longest] {
            assert_eq!(holder(Some(name.to_owned()), ""), Ok(name.to_owned()));
        }
        for name in ["", "a b", "é", "a\n", &format!("{longest}x")] {
            assert!(holder(Some(name.to_owned()), "").is_err(), "{name:?}");
        }
        assert_eq!(
            holder(Some("a b".to_owned()), "services are told it").unwrap_err(),
            "\"a b\" must be 1 to 64 visible ASCII characters: services are told it"
        );
    }

    #[test]
    fn a_digest_is_64_digits_of_either_case_and_is_written_in_one() {
        let digest = SecretDigest::of(b"abc");
        let text = String::from(digest);
        assert!(text.starts_with("ba7816bf") && text.len() == 64, "{text}");
        assert_eq!(SecretDigest::try_from(&*text.to_uppercase()), Ok(digest));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("{text:?}"));
        assert_eq!(format!("{digest:?}"), "SecretDigest(…)");
        for wrong in [
            "",
            &text[1..],
            &format!("{text}0"),
            &"é".repeat(32),
            &"+1".repeat(32),
        ] {
            assert_eq!(
                SecretDigest::try_from(wrong),
                Err(NotASecretDigest),
                "{wrong}"
            );
            assert!(
                !super::digest(Some(wrong), "key")
                    .unwrap_err()
                    .contains(&text[..9])
            );
        }
    }
}
