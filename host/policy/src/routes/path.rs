//! Path patterns: literal segments, `{name}` for one segment, `{*rest}` for all that follows.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::normal::{has_dot_segment, normalised};
use crate::name::ServiceName;
use crate::quote::quoted;

/// Most characters of a path pattern.
pub(super) const PATTERN_LEN_MAX: usize = 1024;
/// Most segments of a path pattern: bounds how deep a look-up goes.
pub(super) const SEGMENTS_MAX: usize = 64;

/// A path pattern, validated. `{name}` stands for one segment and `{*rest}` for one or more characters of any
/// kind; neither stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

/// One piece of a pattern between slashes; parameters that differ only by name are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Segment {
    Literal(Box<str>),
    Parameter,
    Rest,
}

/// Why a text is no path pattern; its display says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {}: {reason}", quoted(given))]
pub struct PathError {
    given: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("it must start with a slash, as in \"/api/{{*rest}}\"")]
    NoSlash,
    #[error(
        "it is longer than {PATTERN_LEN_MAX} characters or has more than {SEGMENTS_MAX} segments"
    )]
    TooLong,
    #[error("segments \".\" and \"..\" never reach a host, clients resolve them: leave them out")]
    Dots,
    #[error("a path has no query or fragment: leave out what follows ? or #")]
    Query,
    #[error("{} can't stand in a path: percent-encode it, as in %20", quoted(.0))]
    Character(String),
    #[error("% must be followed by two hexadecimal digits")]
    Percent,
    #[error("{{ and }} must pair up within a segment; a literal brace is %7B or %7D")]
    Braces,
    #[error(
        "a parameter must be a whole segment, as in \"/a/{{name}}/b\", and its name letters, digits and _: {}",
        quoted(.0)
    )]
    Parameter(String),
    #[error("{{*{0}}} takes everything that follows, so it must come last")]
    RestNotLast(String),
    #[error("two parameters are named {}: give them different names", quoted(.0))]
    Twice(String),
}

impl PathPattern {
    /// The pattern as written, but for needless percent-encoding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The literal segments before the first parameter, without a slash at the end: what `strip_prefix`
    /// strips.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        match self.text.find("/{") {
            Some(end) => &self.text[..end],
            None => self.text.strip_suffix('/').unwrap_or(&self.text),
        }
    }

    /// The parameters' names, in their order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        let pieces = self.text.split('/');
        pieces.filter_map(|piece| {
            let name = piece.strip_prefix('{')?.strip_suffix('}')?;
            Some(name.strip_prefix('*').unwrap_or(name))
        })
    }

    /// What the parameters stand for in a path that the pattern takes, in their order.
    pub(super) fn values<'p>(&self, path: &'p str) -> Vec<&'p str> {
        let mut rest = path.strip_prefix('/').unwrap_or(path);
        let mut values = Vec::new();
        for segment in &self.segments {
            let (piece, after) = rest.split_once('/').unwrap_or((rest, ""));
            match segment {
                Segment::Literal(_) => {}
                Segment::Parameter => values.push(piece),
                Segment::Rest => values.push(rest),
            }
            rest = after;
        }
        values
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn below(name: &ServiceName) -> [Self; 3] {
        let literal = |text: &str| Segment::Literal(text.into());
        [
            Self {
                text: format!("/{name}"),
                segments: vec![literal(name.as_str())],
            },
            Self {
                text: format!("/{name}/"),
                segments: vec![literal(name.as_str()), literal("")],
            },
            Self {
                text: format!("/{name}/{{*rest}}"),
                segments: vec![literal(name.as_str()), Segment::Rest],
            },
        ]
    }

    pub(super) fn all() -> [Self; 2] {
        [
            Self {
                text: "/".to_owned(),
                segments: vec![Segment::Literal("".into())],
            },
            Self {
                text: "/{*rest}".to_owned(),
                segments: vec![Segment::Rest],
            },
        ]
    }
}

/// A request's path as the service sees it once a matched route's `prefix` is stripped: never empty, always
/// with a slash in front.
#[must_use]
pub fn strip_prefix<'a>(path: &'a str, prefix: &str) -> &'a str {
    match path.strip_prefix(prefix) {
        Some(rest) if rest.starts_with('/') => rest,
        Some("") => "/",
        _ => path,
    }
}

impl TryFrom<&str> for PathPattern {
    type Error = PathError;

    fn try_from(text: &str) -> Result<Self, PathError> {
        let segments = read(text).map_err(|reason| PathError {
            given: text.to_owned(),
            reason,
        })?;
        Ok(Self {
            text: normal(text),
            segments,
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for PathPattern {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::try_from(text.as_str())
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.text
    }
}

/// A pattern as the paths that it takes are written.
fn normal(text: &str) -> String {
    let pieces = text.split('/').map(|piece| match piece.starts_with('{') {
        true => piece.into(),
        false => normalised(piece),
    });
    pieces.collect::<Vec<_>>().join("/")
}

fn read(text: &str) -> Result<Vec<Segment>, Reason> {
    let Some(below) = text.strip_prefix('/') else {
        return Err(Reason::NoSlash);
    };
    let count = below.split('/').count();
    if text.len() > PATTERN_LEN_MAX || count > SEGMENTS_MAX {
        return Err(Reason::TooLong);
    }
    let mut names: Vec<&str> = Vec::new();
    let mut segments = Vec::with_capacity(count);
    for (i, piece) in below.split('/').enumerate() {
        if !piece.contains(['{', '}']) {
            segments.push(literal(piece)?);
            continue;
        }
        let name = parameter(piece)?;
        let (segment, name) = match name.strip_prefix('*') {
            Some(name) if i + 1 < count => return Err(Reason::RestNotLast(name.to_owned())),
            Some(name) => (Segment::Rest, name),
            None => (Segment::Parameter, name),
        };
        if names.contains(&name) {
            return Err(Reason::Twice(name.to_owned()));
        }
        names.push(name);
        segments.push(segment);
    }
    Ok(segments)
}

/// The name between the braces, with the star if there is one.
fn parameter(piece: &str) -> Result<&str, Reason> {
    let pairs_up = {
        let mut open = false;
        piece.chars().all(|c| match c {
            '{' => !std::mem::replace(&mut open, true),
            '}' => std::mem::replace(&mut open, false),
            _ => true,
        }) && !open
    };
    if !pairs_up {
        return Err(Reason::Braces);
    }
    piece
        .strip_prefix('{')
        .and_then(|piece| piece.strip_suffix('}'))
        .filter(|name| {
            let name = name.strip_prefix('*').unwrap_or(name);
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
        .ok_or_else(|| Reason::Parameter(piece.to_owned()))
}

fn literal(piece: &str) -> Result<Segment, Reason> {
    if has_dot_segment(piece) {
        return Err(Reason::Dots);
    }
    if piece.contains(['?', '#']) {
        return Err(Reason::Query);
    }
    // RFC 3986 pchar.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%".contains(c);
    if let Some(c) = piece.chars().find(|c| !allowed(*c)) {
        return Err(Reason::Character(c.to_string()));
    }
    let encoded =
        |after: &str| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !piece.split('%').skip(1).all(encoded) {
        return Err(Reason::Percent);
    }
    Ok(Segment::Literal(normalised(piece).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::try_from(text).unwrap()
    }

    #[test]
    fn patterns_in_order_are_accepted() {
        for text in [
            "/",
            "/a",
            "/a/",
            "/a/{b}/c",
            "/{*rest}",
            "/a//b",
            "/%7Ba",
            "/a.b/v1:run",
            "/..a/.b",
        ] {
            assert_eq!(pattern(text).as_str(), text);
        }
    }

    #[test]
    fn a_pattern_is_read_as_paths_are() {
        for (text, expected) in [
            ("/%70rivate/{*rest}", "/private/{*rest}"),
            ("/a%2fb/%c3%a9", "/a%2Fb/%C3%A9"),
        ] {
            assert_eq!(pattern(text), pattern(expected));
            assert_eq!(pattern(text).as_str(), expected);
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_way_out() {
        for (text, reason) in [
            ("", "it must start with a slash, as in \"/api/{*rest}\""),
            ("a", "it must start with a slash, as in \"/api/{*rest}\""),
            (
                "/a/../b",
                "segments \".\" and \"..\" never reach a host, clients resolve them: leave them out",
            ),
            (
                "/.%2E",
                "segments \".\" and \"..\" never reach a host, clients resolve them: leave them out",
            ),
            (
                "/a?b",
                "a path has no query or fragment: leave out what follows ? or #",
            ),
            (
                "/a b",
                "\" \" can't stand in a path: percent-encode it, as in %20",
            ),
            (
                "/é",
                "\"é\" can't stand in a path: percent-encode it, as in %20",
            ),
            ("/%4", "% must be followed by two hexadecimal digits"),
            (
                "/{a",
                "{ and } must pair up within a segment; a literal brace is %7B or %7D",
            ),
            (
                "/}a{",
                "{ and } must pair up within a segment; a literal brace is %7B or %7D",
            ),
            (
                "/{a/b}",
                "{ and } must pair up within a segment; a literal brace is %7B or %7D",
            ),
            (
                "/x{a}",
                "a parameter must be a whole segment, as in \"/a/{name}/b\", and its name letters, digits and _: \"x{a}\"",
            ),
            (
                "/{}",
                "a parameter must be a whole segment, as in \"/a/{name}/b\", and its name letters, digits and _: \"{}\"",
            ),
            (
                "/{*}",
                "a parameter must be a whole segment, as in \"/a/{name}/b\", and its name letters, digits and _: \"{*}\"",
            ),
            (
                "/{*a}/b",
                "{*a} takes everything that follows, so it must come last",
            ),
            (
                "/{a}/{a}",
                "two parameters are named \"a\": give them different names",
            ),
        ] {
            let message = PathPattern::try_from(text).unwrap_err().to_string();
            assert_eq!(message, format!("path {text:?}: {reason}"));
        }
    }

    #[test]
    fn a_pattern_has_bounds() {
        assert!(PathPattern::try_from("/a".repeat(SEGMENTS_MAX).as_str()).is_ok());
        assert!(PathPattern::try_from("/a".repeat(SEGMENTS_MAX + 1).as_str()).is_err());
        assert!(
            PathPattern::try_from(format!("/{}", "a".repeat(PATTERN_LEN_MAX)).as_str()).is_err()
        );
    }

    #[test]
    fn the_literal_prefix_ends_before_the_first_parameter() {
        for (text, prefix) in [
            ("/", ""),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/{*rest}", ""),
            ("/{a}/b", ""),
            ("/api/v1/{a}/b/{*rest}", "/api/v1"),
        ] {
            assert_eq!(pattern(text).literal_prefix(), prefix);
        }
    }

    #[test]
    fn a_stripped_path_always_starts_with_a_slash() {
        for (path, prefix, stripped) in [
            ("/a", "/a", "/"),
            ("/a/", "/a", "/"),
            ("/a/b", "/a", "/b"),
            ("/a//b", "/a", "//b"),
            ("/a/b", "", "/a/b"),
        ] {
            assert_eq!(strip_prefix(path, prefix), stripped);
        }
    }

    #[test]
    fn the_ready_made_patterns_are_what_their_texts_say() {
        let name = ServiceName::try_from("hello").unwrap();
        for ready in PathPattern::below(&name)
            .into_iter()
            .chain(PathPattern::all())
        {
            assert_eq!(pattern(ready.as_str()), ready);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error(text in "[/{}*a.%?]{0,20}|.{0,40}") {
            match PathPattern::try_from(text.as_str()) {
                Ok(pattern) => prop_assert!(pattern.as_str().starts_with(pattern.literal_prefix())),
                Err(error) => prop_assert!(error.to_string().starts_with("path ")),
            }
        }
    }
}
