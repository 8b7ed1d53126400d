//! Answers in a content coding, for the clients that take one.

use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Method, Request, StatusCode};
use skep_policy::coding::{Coding, Compression, Head, Verdict};

use super::say_varies;
use crate::request::body::coded::Encoder;

/// What is true of the bytes that a service sent and not of those that leave, beside their length.
const OF_BYTES: [&str; 5] = [
    "accept-ranges",
    "content-digest",
    "content-md5",
    "digest",
    "repr-digest",
];

/// A policy.
#[derive(Debug)]
pub(super) struct Compressing(Compression);

/// What a request says of the answers that its client takes.
#[derive(Debug, Default)]
pub(super) struct Taker {
    accepted: Vec<HeaderValue>,
    is_head: bool,
}

impl Taker {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let accepted = request.headers().get_all(header::ACCEPT_ENCODING);
        Self {
            accepted: accepted.iter().cloned().collect(),
            is_head: request.method() == Method::HEAD,
        }
    }
}

impl Compressing {
    pub(super) fn of(compression: &Compression) -> Self {
        Self(compression.clone())
    }

    /// Makes a head that of the answer as this client gets it; what its body, of `exact` bytes if that is known, is coded
    /// with, if it is.
    pub(super) fn apply(
        &self,
        taker: &Taker,
        head: &mut Parts,
        exact: Option<u64>,
    ) -> Option<Encoder> {
        let length = length(taker, &head.headers, exact);
        match self.judge(taker, head, length) {
            Verdict::Untouched => None,
            Verdict::Plain => {
                say_varies(&mut head.headers, "accept-encoding");
                None
            }
            Verdict::Coded(coding) => coded(coding, taker, head, length),
        }
    }

    fn judge(&self, taker: &Taker, head: &Parts, length: Option<u64>) -> Verdict {
        let headers = &head.headers;
        let cache_control: Vec<_> = texts(headers.get_all(header::CACHE_CONTROL)).collect();
        let head = Head {
            status: head.status.as_u16(),
            content_type: headers
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok()),
            cache_control: &cache_control,
            is_coded_or_part: headers.contains_key(header::CONTENT_ENCODING)
                || headers.contains_key(header::CONTENT_RANGE),
            length,
        };
        self.0.judge(&head, texts(&taker.accepted))
    }
}

/// Bytes of the body, or of the one that a GET would get, if that is known.
fn length(taker: &Taker, headers: &HeaderMap, exact: Option<u64>) -> Option<u64> {
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok(),
        None if taker.is_head => None,
        None => exact,
    }
}

fn coded(coding: Coding, taker: &Taker, head: &mut Parts, length: Option<u64>) -> Option<Encoder> {
    say_varies(&mut head.headers, "accept-encoding");
    weaken(&mut head.headers);
    let is_unchanged = head.status == StatusCode::NOT_MODIFIED;
    // Whether a GET would be answered in a coding depends on how long the body is.
    let is_known = !taker.is_head || length.is_some();
    if is_unchanged || !is_known {
        return None;
    }
    let name = HeaderValue::from_static(coding.as_str());
    head.headers.insert(header::CONTENT_ENCODING, name);
    head.headers.remove(header::CONTENT_LENGTH);
    for name in OF_BYTES {
        head.headers.remove(name);
    }
    (!taker.is_head).then(|| Encoder::new(coding, length))
}

/// What two codings of the same have in common is no strong validator (RFC 9110, 8.8.3.3).
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(header::ETAG) else {
        return;
    };
    if tag.as_bytes().starts_with(b"W/") {
        return;
    }
    match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        Ok(weak) => headers.insert(header::ETAG, weak),
        Err(_) => headers.remove(header::ETAG),
    };
}

fn texts<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> impl Iterator<Item = &'a str> {
    values.into_iter().filter_map(|value| value.to_str().ok())
}
