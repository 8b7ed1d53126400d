//! Request methods as routes name them.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quote::quoted;

/// Most characters of a method.
pub(super) const METHOD_LEN_MAX: usize = 32;

/// A request method: upper-case letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Method(String);

/// Why a text is no method; its display says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// Methods are case-sensitive, and no method in use has lower-case letters.
    #[error("methods are case-sensitive: write \"{}\", not {}", .0.to_ascii_uppercase(), quoted(.0))]
    LowerCase(String),
    /// Not a method at all.
    #[error("{} is not a method: write one such as \"GET\" or \"POST\"", quoted(.0))]
    Malformed(String),
}

impl Method {
    /// The method as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Method {
    type Error = MethodError;

    fn try_from(text: &str) -> Result<Self, MethodError> {
        let shaped = text.len() <= METHOD_LEN_MAX
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !shaped {
            return Err(MethodError::Malformed(text.to_owned()));
        }
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(MethodError::LowerCase(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Method {
    type Error = MethodError;

    fn try_from(text: String) -> Result<Self, MethodError> {
        Self::try_from(text.as_str())
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.0
    }
}

impl Borrow<str> for Method {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Method {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_case_tokens_are_methods() {
        for text in ["GET", "PROPFIND", "M-SEARCH", "X2"] {
            assert_eq!(Method::try_from(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_way_out() {
        assert_eq!(
            Method::try_from("get").unwrap_err().to_string(),
            "methods are case-sensitive: write \"GET\", not \"get\""
        );
        for text in [
            "",
            " GET",
            "GET,POST",
            "-",
            "*",
            &"A".repeat(METHOD_LEN_MAX + 1),
        ] {
            let message = Method::try_from(text).unwrap_err().to_string();
            assert!(message.contains("is not a method"), "{message}");
        }
    }
}
