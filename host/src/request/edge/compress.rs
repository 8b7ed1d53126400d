//! Answers in a content coding, for the clients that take one.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use skep_policy::coding::{Coding, Compression, Head, Verdict};

use super::say_varies;
use crate::request::body::OutgoingBody;
use crate::request::body::coded::Coded;

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

    /// The answer as this client gets it.
    pub(super) fn apply(
        &self,
        taker: &Taker,
        response: Response<OutgoingBody>,
    ) -> Response<OutgoingBody> {
        let length = length(taker, &response);
        match self.judge(taker, &response, length) {
            Verdict::Untouched => response,
            Verdict::Plain => {
                let mut response = response;
                say_varies(response.headers_mut(), "accept-encoding");
                response
            }
            Verdict::Coded(coding) => coded(coding, taker, response, length),
        }
    }

    fn judge(
        &self,
        taker: &Taker,
        response: &Response<OutgoingBody>,
        length: Option<u64>,
    ) -> Verdict {
        let headers = response.headers();
        let cache_control: Vec<_> = texts(headers.get_all(header::CACHE_CONTROL)).collect();
        let head = Head {
            status: response.status().as_u16(),
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
fn length(taker: &Taker, response: &Response<OutgoingBody>) -> Option<u64> {
    let said = response.headers().get(header::CONTENT_LENGTH);
    match said {
        Some(length) => length.to_str().ok()?.parse().ok(),
        None if taker.is_head => None,
        None => response.body().size_hint().exact(),
    }
}

fn coded(
    coding: Coding,
    taker: &Taker,
    response: Response<OutgoingBody>,
    length: Option<u64>,
) -> Response<OutgoingBody> {
    let (mut parts, body) = response.into_parts();
    say_varies(&mut parts.headers, "accept-encoding");
    weaken(&mut parts.headers);
    let is_unchanged = parts.status == StatusCode::NOT_MODIFIED;
    // Whether a GET would be answered in a coding depends on how long the body is.
    let is_known = !taker.is_head || length.is_some();
    if is_unchanged || !is_known {
        return Response::from_parts(parts, body);
    }
    let name = HeaderValue::from_static(coding.as_str());
    parts.headers.insert(header::CONTENT_ENCODING, name);
    parts.headers.remove(header::CONTENT_LENGTH);
    // What is true of the bytes that the service sent is not of these.
    parts.headers.remove(header::ACCEPT_RANGES);
    parts.headers.remove("content-digest");
    parts.headers.remove("content-md5");
    let body = match taker.is_head {
        true => body,
        false => Coded::boxed(body, coding, length),
    };
    Response::from_parts(parts, body)
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
