//! Which coding an answer is sent in: what the client takes (RFC 9110, 12.5.3), what the route offers, and whether the
//! answer is worth it.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::quote::quoted;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All, in the order of preference: best for what is made anew for each request first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// Its name in headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.as_str() == name)
    }

    /// Whether a client means this by `name`.
    fn is_meant_by(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.as_str())
            || self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip")
    }
}

/// Media types that an answer may have: a whole one, all with the same first part, or all with the same suffix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum TypePattern {
    /// `text/html`.
    Exact(String),
    /// `text/*`: what is before the star.
    Kind(String),
    /// `*+json`: what is after the star.
    Suffix(String),
}

/// A media type that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a media type: write one as in \"text/html\", \"text/*\" or \"*+json\"",
    quoted(.0)
)]
pub struct TypeError(String);

/// Which answers are sent in a coding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// Codings that are offered, the preferred one first.
    pub codings: Vec<Coding>,
    /// Answers that are known to be shorter stay as they are.
    pub min_length: u64,
    /// Media types that are worth it.
    pub types: Vec<TypePattern>,
}

/// What of an answer's head says whether it may be sent in a coding.
#[derive(Debug, Clone, Copy, Default)]
pub struct Head<'a> {
    /// Its status.
    pub status: u16,
    /// `content-type`.
    pub content_type: Option<&'a str>,
    /// `cache-control`, all of it.
    pub cache_control: &'a [&'a str],
    /// Whether it has a `content-encoding` or a `content-range`.
    pub is_coded_or_part: bool,
    /// Bytes of the body, if that is known.
    pub length: Option<u64>,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the same for all clients.
    Untouched,
    /// It is sent as it is; others may get it in a coding.
    Plain,
    /// It is sent in this coding; one without a body has the head of one that is.
    Coded(Coding),
}

/// What a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The coding that it likes best of those that are offered, if it is to be coded at all.
    pub coding: Option<Coding>,
    /// Whether it does not take an answer as it is.
    pub refuses_identity: bool,
}

impl Default for Compression {
    fn default() -> Self {
        let types = [
            "text/*",
            "*+json",
            "*+xml",
            "*+text",
            "application/json",
            "application/javascript",
            "application/x-javascript",
            "application/ecmascript",
            "application/manifest+json",
            "application/xml",
            "application/graphql",
            "application/jsonl",
            "application/x-ndjson",
            "application/sql",
            "application/toml",
            "application/yaml",
            "application/x-yaml",
            "application/wasm",
            "application/vnd.ms-fontobject",
            "font/otf",
            "font/ttf",
            "image/bmp",
            "image/svg+xml",
            "image/x-icon",
        ];
        let types = types
            .iter()
            .filter_map(|text| TypePattern::try_from(*text).ok());
        Self {
            codings: Coding::ALL.to_vec(),
            min_length: 1024,
            types: types.collect(),
        }
    }
}

impl Compression {
    /// What becomes of an answer with this head for a client that sent these `accept-encoding` headers.
    pub fn judge<'a>(
        &self,
        head: &Head<'_>,
        accepted: impl IntoIterator<Item = &'a str>,
    ) -> Verdict {
        if !self.could_be_coded(head) {
            return Verdict::Untouched;
        }
        let wish = wish(accepted, &self.codings);
        let is_short =
            head.status != 304 && head.length.is_some_and(|length| length < self.min_length);
        match wish.coding {
            Some(coding) if wish.refuses_identity || !is_short => Verdict::Coded(coding),
            _ => Verdict::Plain,
        }
    }

    /// Whether there is a client that would get it in a coding.
    fn could_be_coded(&self, head: &Head<'_>) -> bool {
        let is_worth_it = match (head.status, head.content_type) {
            // What has not been modified need not say what it is, and varies as it did (RFC 9110, 15.4.5).
            (304, None) => true,
            (204..=206 | ..200, _) | (_, None) => false,
            (_, Some(own)) => self.is_worth_it(own),
        };
        is_worth_it
            && !head.is_coded_or_part
            && (head.length != Some(0) || head.status == 304)
            && !head.cache_control.iter().any(|value| forbids_change(value))
    }

    fn is_worth_it(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        self.types.iter().any(|pattern| pattern.takes(essence))
    }
}

/// Whether a `cache-control` has `no-transform` (RFC 9111, 5.2.2.6).
fn forbids_change(cache_control: &str) -> bool {
    cache_control.split(',').any(|directive| {
        let name = directive.split('=').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("no-transform")
    })
}

/// Thousandths; nothing is taken with a weight of zero.
type Weight = u16;
const WEIGHT_MAX: Weight = 1000;

/// What a client with these `accept-encoding` headers takes of what is offered. Of what it likes equally well the first
/// that is offered is meant, and a coding before none.
///
/// Looks at each member once, however many there are.
pub fn wish<'a>(accepted: impl IntoIterator<Item = &'a str>, offered: &[Coding]) -> Wish {
    let mut weights: [Option<Weight>; Coding::ALL.len()] = [None; _];
    let (mut identity, mut any) = (None, None);
    for member in accepted.into_iter().flat_map(|value| value.split(',')) {
        let Some((name, weight)) = weighted(member) else {
            continue;
        };
        let place = match name {
            "*" => Some(&mut any),
            name if name.eq_ignore_ascii_case("identity") => Some(&mut identity),
            name => Coding::ALL
                .iter()
                .position(|coding| coding.is_meant_by(name))
                .map(|at| &mut weights[at]),
        };
        if let Some(place) = place {
            // Who says it twice is taken by the first word.
            place.get_or_insert(weight);
        }
    }
    let of = |coding: Coding| {
        let at = Coding::ALL.iter().position(|other| *other == coding);
        at.and_then(|at| weights[at]).or(any).unwrap_or(0)
    };
    // The first of equals: a later one has to be liked better.
    let best = offered
        .iter()
        .fold(None, |best: Option<(Coding, Weight)>, coding| {
            let weight = of(*coding);
            let is_better = best.is_none_or(|(_, best)| weight > best);
            if is_better {
                Some((*coding, weight))
            } else {
                best
            }
        })
        .filter(|(_, weight)| *weight > 0);
    let plain = identity.or(any);
    let coding = best.filter(|(_, weight)| plain.is_none_or(|plain| *weight >= plain));
    Wish {
        coding: coding.map(|(coding, _)| coding),
        refuses_identity: plain == Some(0),
    }
}

/// A member of `accept-encoding`: what it names, and how much that is liked. None if it is none.
fn weighted(member: &str) -> Option<(&str, Weight)> {
    let mut parts = member.split(';');
    let name = parts.next()?.trim();
    if name.is_empty() {
        return None;
    }
    let mut weight = WEIGHT_MAX;
    for parameter in parts {
        let (key, value) = parameter.split_once('=')?;
        if key.trim().eq_ignore_ascii_case("q") {
            weight = thousandths(value.trim())?;
        }
    }
    Some((name, weight))
}

/// A weight (RFC 9110, 12.4.2): from 0 to 1 with at most three digits after the point.
fn thousandths(text: &str) -> Option<Weight> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: Weight = format!("{part:0<3}").parse().ok()?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(WEIGHT_MAX),
        _ => None,
    }
}

impl TypePattern {
    fn takes(&self, essence: &str) -> bool {
        let bytes = essence.as_bytes();
        match self {
            Self::Exact(own) => own.eq_ignore_ascii_case(essence),
            Self::Kind(start) => bytes
                .get(..start.len())
                .is_some_and(|own| own.eq_ignore_ascii_case(start.as_bytes())),
            Self::Suffix(end) => bytes
                .len()
                .checked_sub(end.len())
                .is_some_and(|at| bytes[at..].eq_ignore_ascii_case(end.as_bytes())),
        }
    }
}

impl TryFrom<&str> for TypePattern {
    type Error = TypeError;

    fn try_from(text: &str) -> Result<Self, TypeError> {
        let is_part = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
            !part.is_empty() && part.bytes().all(is_plain)
        };
        let wrong = || TypeError(text.to_owned());
        if let Some(suffix) = text.strip_prefix("*+") {
            let is_suffix = is_part(suffix);
            return is_suffix
                .then(|| Self::Suffix(text[1..].to_owned()))
                .ok_or_else(wrong);
        }
        match text.split_once('/') {
            Some((kind, "*")) if is_part(kind) => Ok(Self::Kind(format!("{kind}/"))),
            Some((kind, rest)) if is_part(kind) && is_part(rest) => {
                Ok(Self::Exact(text.to_owned()))
            }
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for TypePattern {
    type Error = TypeError;

    fn try_from(text: String) -> Result<Self, TypeError> {
        Self::try_from(text.as_str())
    }
}

impl From<TypePattern> for String {
    fn from(pattern: TypePattern) -> Self {
        match pattern {
            TypePattern::Exact(own) => own,
            TypePattern::Kind(start) => format!("{start}*"),
            TypePattern::Suffix(end) => format!("*{end}"),
        }
    }
}
