//! What an artifact is named by and what it can be. Nothing here opens or trusts a file's name.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::service::target::Target;
use crate::engine;

/// Artifacts larger than this are refused unread.
pub const ARTIFACT_BYTES_MAX: u64 = 256 * 1024 * 1024;

const DIGEST_BYTES: usize = 32;
const DIGEST_PREFIX: &str = "sha256:";
const READ_BUFFER_BYTES: usize = 128 * 1024;

/// The sha256 of some bytes, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; DIGEST_BYTES]);

impl Digest {
    /// The digest of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of all that `from` yields, and its length in bytes.
    ///
    /// # Errors
    /// Whatever reading yields.
    pub fn of_reader(mut from: impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; READ_BUFFER_BYTES];
        let mut bytes = 0_u64;
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok((Self(hasher.finalize().into()), bytes)),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest that 64 hexadecimal digits without a prefix say.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        if hex.len() != 2 * DIGEST_BYTES || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; DIGEST_BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The 64 hexadecimal digits without the prefix, fit for a file's name.
    #[must_use]
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0
            .iter()
            .fold(String::with_capacity(2 * DIGEST_BYTES), |mut hex, byte| {
                // Writing to a string can't fail.
                write!(hex, "{byte:02x}").ok();
                hex
            })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIGEST_PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `sha256:` and 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a digest is written sha256: and 64 hexadecimal digits, not {0:?}")]
pub struct NotADigest(String);

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let wrong = || NotADigest(text.to_owned());
        let hex = text.strip_prefix(DIGEST_PREFIX);
        hex.and_then(Self::from_hex).ok_or_else(wrong)
    }
}

impl From<[u8; DIGEST_BYTES]> for Digest {
    fn from(bytes: [u8; DIGEST_BYTES]) -> Self {
        Self(bytes)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

/// How an artifact is served; decided by what it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// Exports `wasi:http/incoming-handler@0.2.x`.
    Http02,
    /// Exports `wasi:http/handler@0.3.x`.
    Http03,
    /// Exports `wasi:cli/run@0.2.x`, served as CGI (RFC 3875).
    Command,
    /// Exports no more than functions, which other services call.
    Functions,
}

impl ArtifactKind {
    /// The engine that compiles and runs it.
    #[must_use]
    pub fn engine(self) -> engine::Kind {
        match self {
            Self::Http02 | Self::Command => engine::Kind::Sync,
            Self::Http03 | Self::Functions => engine::Kind::Concurrent,
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http02 => "wasi:http 0.2 component",
            Self::Http03 => "wasi:http 0.3 component",
            Self::Command => "CGI command",
            Self::Functions => "component of functions",
        })
    }
}

/// Bytes of a component or module, or of what is there instead: their name, and a file that held them when they were hashed.
///
/// The digest is the identity. The file may have changed since; whoever reads it checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The sha256 of the file's bytes.
    pub digest: Digest,
    /// Where the bytes are.
    pub path: PathBuf,
}

impl Artifact {
    /// What stands for a target that is no component: its description, which the configuration has.
    #[must_use]
    pub fn described(target: &Target) -> Self {
        // Texts and flags: this can't fail. If it did, the configuration would tell one target from another.
        let description = serde_json::to_vec(target).unwrap_or_default();
        Self {
            digest: Digest::of(&description),
            path: PathBuf::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_being_written_and_read() {
        let digest = Digest::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        assert_eq!(Digest::of_reader(&b"abc"[..]).unwrap(), (digest, 3));
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        for text in [
            "",
            "sha256:",
            "sha256:12",
            "md5:00",
            &format!("sha256:{}", "é".repeat(32)),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
