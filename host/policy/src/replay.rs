//! Whether two revisions answer the same request alike, and what people are shown of it if they don't.

use std::collections::BTreeSet;

use serde::Serialize;

/// Bytes of a body or of a header's values that a difference shows.
pub const EXCERPT_BYTES_MAX: usize = 256;
/// Bytes before the first different one that are shown with it.
const BEFORE_BYTES: usize = 64;

/// Headers that differ from answer to answer, whoever gives it, or that are about one connection.
pub const IGNORED: [&str; 13] = [
    "age",
    "connection",
    "date",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "server-timing",
    "te",
    "trailer",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Headers whose values are nobody's business: they are not kept.
pub const REDACTED: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
];

/// What stands in the place of a value that is not kept.
pub const REDACTED_VALUE: &str = "redacted";

/// Names of headers: some that always belong to it, and some of a manifest. In lower case.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    always: &'a [&'static str],
    more: &'a BTreeSet<String>,
}

impl<'a> Names<'a> {
    /// [`IGNORED`] and `more`.
    pub fn ignored(more: &'a BTreeSet<String>) -> Self {
        let always = &IGNORED;
        Self { always, more }
    }

    /// [`REDACTED`] and `more`.
    pub fn redacted(more: &'a BTreeSet<String>) -> Self {
        let always = &REDACTED;
        Self { always, more }
    }

    /// Whether the header is one of them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.always.contains(&name) || self.more.contains(name)
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values, in their order.
    pub headers: &'a [(String, Vec<u8>)],
    /// The body.
    pub body: Body<'a>,
}

/// A body, or what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It is longer than what is kept.
    Long {
        /// How long it is.
        bytes: u64,
        /// Its digest.
        sha256: [u8; 32],
    },
}

/// How two answers differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The running revision's and the candidate's, if they are not the same.
    pub status: Option<(u16, u16)>,
    /// The headers that are not the same.
    pub headers: Vec<HeaderDifference>,
    /// The bodies, if they are not the same.
    pub body: Option<BodyDifference>,
}

/// One header that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderDifference {
    /// Its name.
    pub name: String,
    /// The running revision's values; None if there are none.
    pub running: Option<String>,
    /// The candidate's.
    pub candidate: Option<String>,
}

/// Two bodies that are not the same, cut to what is around the first difference. What is no text is in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BodyDifference {
    /// The running revision's.
    pub running: String,
    /// The candidate's.
    pub candidate: String,
    /// Where they begin to differ, from 0. None if one of them is too long to be kept.
    pub first_difference_at: Option<u64>,
}

/// How the candidate's answer differs from the running revision's. Headers of these names may.
#[must_use]
pub fn compare(
    running: Answer<'_>,
    candidate: Answer<'_>,
    apart: &[Names<'_>],
) -> Option<Difference> {
    let (before, after) = (running.status, candidate.status);
    let difference = Difference {
        status: (before != after).then_some((before, after)),
        headers: headers(running.headers, candidate.headers, apart),
        body: bodies(running.body, candidate.body),
    };
    let is_one =
        difference.status.is_some() || !difference.headers.is_empty() || difference.body.is_some();
    is_one.then_some(difference)
}

fn headers(
    running: &[(String, Vec<u8>)],
    candidate: &[(String, Vec<u8>)],
    apart: &[Names<'_>],
) -> Vec<HeaderDifference> {
    let names = running.iter().chain(candidate).map(|(name, _)| &**name);
    let names: BTreeSet<&str> = names
        .filter(|name| !apart.iter().any(|names| names.has(name)))
        .collect();
    let differing = names.into_iter().filter_map(|name| {
        let (before, after) = (values(running, name), values(candidate, name));
        (before != after).then(|| HeaderDifference {
            name: name.to_owned(),
            running: joined(&before),
            candidate: joined(&after),
        })
    });
    differing.collect()
}

fn values<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a [u8]> {
    let named = headers.iter().filter(|(other, _)| other == name);
    named.map(|(_, value)| value.as_slice()).collect()
}

fn joined(values: &[&[u8]]) -> Option<String> {
    (!values.is_empty()).then(|| excerpt(&values.join(&b", "[..]), 0))
}

fn bodies(running: Body<'_>, candidate: Body<'_>) -> Option<BodyDifference> {
    if running == candidate {
        return None;
    }
    let (Body::Whole(before), Body::Whole(after)) = (running, candidate) else {
        return Some(BodyDifference {
            running: described(running),
            candidate: described(candidate),
            first_difference_at: None,
        });
    };
    let common = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    Some(BodyDifference {
        running: excerpt(before, common),
        candidate: excerpt(after, common),
        first_difference_at: Some(common as u64),
    })
}

fn described(body: Body<'_>) -> String {
    match body {
        Body::Whole(bytes) => excerpt(bytes, 0),
        Body::Long { bytes, sha256 } => format!("{bytes} bytes, sha256:{}", hex(&sha256)),
    }
}

/// What is around the byte at `at`.
fn excerpt(bytes: &[u8], at: usize) -> String {
    let from = at.saturating_sub(BEFORE_BYTES).min(bytes.len());
    let to = from.saturating_add(EXCERPT_BYTES_MAX).min(bytes.len());
    let cut = &bytes[from..to];
    // A cut may go through a character.
    let is_inside = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    let begin = match from {
        0 => 0,
        _ => cut.iter().take(3).take_while(is_inside).count(),
    };
    match std::str::from_utf8(&cut[begin..]) {
        Ok(text) => text.to_owned(),
        Err(error) if error.error_len().is_none() && to < bytes.len() => {
            let end = begin + error.valid_up_to();
            String::from_utf8_lossy(&cut[begin..end]).into_owned()
        }
        Err(_) => hex(cut),
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    let both = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
    bytes.iter().flat_map(both).collect()
}

#[cfg(test)]
mod tests;
