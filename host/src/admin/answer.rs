//! Answers: JSON, problem details, and what every one of them says of itself.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// What answers carry.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// An answer before it is made fit for HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    media_type: &'static str,
    pub(super) body: Vec<u8>,
    extra: Vec<(HeaderName, HeaderValue)>,
}

/// RFC 9457 problem details.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Answer {
    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::of(JSON, body),
            Err(error) => {
                tracing::error!(%error, "an answer of the admin API could not be written as JSON");
                Self::failed()
            }
        }
    }

    pub(super) fn of(media_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            media_type,
            body,
            extra: Vec::new(),
        }
    }

    pub(super) fn problem(status: StatusCode, detail: &str) -> Self {
        Self::problem_for(status, detail, None)
    }

    /// The host's own fault.
    pub(super) fn failed() -> Self {
        let detail = "the host failed at answering, which is a bug; see its log";
        Self::problem(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    pub(super) fn problem_for(
        status: StatusCode,
        detail: &str,
        reason: Option<&'static str>,
    ) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        let problem = Problem {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            detail,
            reason,
        };
        // Plain strings and a number: this can't fail.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self {
            status,
            ..Self::of(PROBLEM, body)
        }
    }

    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.extra.push((name, HeaderValue::from_static(value)));
        self
    }

    /// With the generation of the service that it is about.
    pub(super) fn tagged(mut self, generation: u64) -> Self {
        // Digits in quotes: this can't fail.
        if let Ok(tag) = HeaderValue::try_from(format!("\"{generation}\"")) {
            self.extra.push((header::ETAG, tag));
        }
        self
    }

    pub(super) fn into_response(self, method: &Method) -> Response<AnswerBody> {
        let length = self.body.len();
        let body = if method == Method::HEAD {
            Bytes::new()
        } else {
            Bytes::from(self.body)
        };
        let mut response = Response::new(Full::new(body).boxed_unsync());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        dress(headers, self.media_type);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.extend(self.extra);
        response
    }
}

/// What every answer says of itself.
pub(super) fn dress(headers: &mut HeaderMap, media_type: &'static str) {
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
