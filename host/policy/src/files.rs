//! Static files: which file a path names, whether it is sent, and which part of it (RFC 9110, 13 and 14).
//!
//! A path is decoded once, a segment at a time, and what it names lies below the folder whatever a client writes.

mod conditions;
mod range;

pub use self::conditions::{Conditions, Validators, Verdict};
pub use self::range::{Part, part};

/// The one name with a leading dot that is served (RFC 8615).
const WELL_KNOWN: &str = ".well-known";
/// Longer paths name nothing that a system could have.
const BYTES_MAX: usize = 4095;

/// What a request's path names below a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Decoded, from the folder: no segment is empty, begins with a dot or holds a slash. Empty for the folder itself.
    pub path: String,
    /// Whether it ends in a slash, as that of a folder does.
    pub is_folder: bool,
}

/// What `path`, as it came, names. None if that can't be a file that is served: one that is hidden, or elsewhere.
#[must_use]
pub fn named(path: &str) -> Option<Named> {
    let rest = path.strip_prefix('/')?;
    if rest.len() > BYTES_MAX {
        return None;
    }
    let (rest, is_folder) = match rest.strip_suffix('/') {
        Some(rest) => (rest, true),
        None => (rest, rest.is_empty()),
    };
    let mut decoded = String::with_capacity(rest.len());
    if rest.is_empty() {
        // `//` names no folder: an empty segment is none.
        return (path == "/").then_some(Named {
            path: decoded,
            is_folder,
        });
    }
    for (at, segment) in rest.split('/').enumerate() {
        let segment = decode(segment)?;
        let is_hidden = segment.starts_with('.') && !(at == 0 && segment == WELL_KNOWN);
        if segment.is_empty() || is_hidden || segment.contains(['/', '\0']) {
            return None;
        }
        if at > 0 {
            decoded.push('/');
        }
        decoded.push_str(&segment);
    }
    Some(Named {
        path: decoded,
        is_folder,
    })
}

/// Percent-decodes once. None of what is no UTF-8 then. A percent sign without two digits stands for itself.
fn decode(segment: &str) -> Option<String> {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digit = |index| char::from(*bytes.get(index)?).to_digit(16);
        let escaped = (*byte == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?));
        match escaped.flatten().and_then(|byte| u8::try_from(byte).ok()) {
            Some(escaped) => {
                decoded.push(escaped);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_decoded_once() {
        for (path, expected, is_folder) in [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b.css", "a/b.css", false),
            ("/a%20b", "a b", false),
            ("/%61", "a", false),
            ("/%C3%A9", "é", false),
            ("/%252e%252e/x", "%2e%2e/x", false),
            ("/100%", "100%", false),
            ("/%zz%4", "%zz%4", false),
            ("/a..b", "a..b", false),
            ("/a\\..\\b", "a\\..\\b", false),
            ("/.well-known/a", ".well-known/a", false),
        ] {
            let named = named(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(
                (named.path.as_str(), named.is_folder),
                (expected, is_folder)
            );
        }
    }

    #[test]
    fn what_is_hidden_or_elsewhere_is_not_named() {
        for path in [
            "",
            "a",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/..",
            "/../a",
            "/a/../b",
            "/a/..",
            "/./a",
            "/%2e%2e/a",
            "/%2E./a",
            "/.%2e/a",
            "/..%2fa",
            "/a%2fb",
            "/a%2Fb",
            "/%2f",
            "/a%00",
            "/%00",
            "/%c0%ae%c0%ae/a",
            "/%e0%80%ae/a",
            "/%ff",
            "/.git/config",
            "/a/.env",
            "/%2eenv",
            "/a/.well-known/b",
            "/.well-known/.a",
            &format!("/{}", "a".repeat(BYTES_MAX + 1)),
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_named_leaves_the_folder(
            path in "/([./%2eEfF0a]|%2e|%2f|%252e|\\.\\.){0,12}",
        ) {
            if let Some(named) = named(&path) {
                let is_safe = |segment: &str| {
                    let is_hidden = segment.starts_with('.');
                    !segment.is_empty() && !is_hidden && !segment.contains('\0')
                };
                let is_root = named.path.is_empty();
                let is_below = is_root || named.path.split('/').all(is_safe);
                prop_assert!(is_below, "{}", named.path);
            }
        }
    }
}
