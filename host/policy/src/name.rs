//! The names of services: DNS labels, so that `NAME.internal` is always a valid host.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::quote::quoted;

/// Most characters of a service's name: the length of a DNS label.
pub const NAME_LEN_MAX: usize = 63;

/// A service's name: 1 to [`NAME_LEN_MAX`] lower-case letters, digits and hyphens, no hyphen at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ServiceName(String);

/// Where services send to their WebSockets.
pub const WEBSOCKET: &str = "websocket";

/// The host's own names below `.internal`.
pub const RESERVED: [&str; 1] = [WEBSOCKET];

/// Why a text is no service name; its display says what names may be and suggests one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.display())]
pub struct NameError {
    given: String,
    suggestion: String,
}

impl NameError {
    /// The nearest valid name.
    #[must_use]
    pub fn suggestion(&self) -> &str {
        &self.suggestion
    }

    fn display(&self) -> String {
        let (given, suggestion) = (quoted(&self.given), quoted(&self.suggestion));
        if RESERVED.contains(&self.given.as_str()) {
            return format!(
                "{given} is the host's own name, which no service has and every service may use: \
                 choose another, such as {suggestion}"
            );
        }
        format!(
            "{given} is not a service name: use 1 to {NAME_LEN_MAX} lower-case letters, digits and hyphens, \
             with no hyphen at either end, such as {suggestion}"
        )
    }
}

impl ServiceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ServiceName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        if is_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            given: text.to_owned(),
            suggestion: suggest(text),
        })
    }
}

impl TryFrom<String> for ServiceName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::try_from(text.as_str())
    }
}

impl std::str::FromStr for ServiceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ServiceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !RESERVED.contains(&text)
}

fn suggest(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().take(4 * NAME_LEN_MAX) {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_matches('-');
    let name = name[..name.len().min(NAME_LEN_MAX)].trim_end_matches('-');
    match name {
        "" => "my-service".to_owned(),
        reserved if RESERVED.contains(&reserved) => format!("{reserved}-service"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dns_labels_are_names() {
        for text in ["a", "0", "a-b", "hello-p3", "x--y", &"a".repeat(63)] {
            assert_eq!(ServiceName::try_from(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_name_that_would_do() {
        for (text, suggestion) in [
            ("", "my-service"),
            ("-", "my-service"),
            ("a-", "a"),
            ("-a", "a"),
            ("My_App", "my-app"),
            ("a.b", "a-b"),
            ("a/../b", "a-b"),
            ("é", "my-service"),
            (&"a".repeat(64), &"a".repeat(63)),
            ("websocket", "websocket-service"),
            ("WebSocket", "websocket-service"),
        ] {
            let error = ServiceName::try_from(text).unwrap_err();
            assert_eq!(error.suggestion(), suggestion, "{text}");
        }
    }

    #[test]
    fn the_error_says_what_names_may_be() {
        assert_eq!(
            ServiceName::try_from("My_App").unwrap_err().to_string(),
            "\"My_App\" is not a service name: use 1 to 63 lower-case letters, digits and hyphens, \
             with no hyphen at either end, such as \"my-app\""
        );
    }

    #[test]
    fn the_hosts_own_names_are_no_services() {
        let error = ServiceName::try_from("websocket").unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("\"websocket\" is the host's own name"),
            "{said}"
        );
    }

    proptest! {
        #[test]
        fn names_are_exactly_the_dns_labels(text in "[a-z0-9-]{0,70}") {
            let label = !text.is_empty() && text.len() <= 63 && !text.starts_with('-') && !text.ends_with('-');
            prop_assert_eq!(ServiceName::try_from(text.as_str()).is_ok(), label);
        }

        #[test]
        fn a_suggestion_is_always_a_name(text in ".{0,100}") {
            if let Err(error) = ServiceName::try_from(text.as_str()) {
                prop_assert!(is_name(error.suggestion()));
            }
        }
    }
}
