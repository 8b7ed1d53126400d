//! Answers: whole or cut, the guest's or the host's own.

use std::fmt;

use http::HeaderMap;
use http::response::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::wait::within;

/// An answer whose head has arrived.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: Parts,
    body: Incoming,
    /// Keeps the connection going, if the answer is all it is for.
    pub(crate) connection: Option<AbortOnDropHandle<()>>,
}

impl Reply {
    pub(super) fn new(response: http::Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            head,
            body,
            connection: None,
        }
    }

    /// The next part of the body; `None` at its end. Panics where it is cut.
    pub(crate) async fn chunk(&mut self) -> Option<bytes::Bytes> {
        loop {
            let frame = within("a part of a body", self.body.frame()).await?;
            // HTTP/2 may end a body with an empty frame.
            if let Some(data) = frame
                .expect("the body is not cut")
                .into_data()
                .ok()
                .filter(|data| !data.is_empty())
            {
                return Some(data);
            }
        }
    }

    /// Takes the rest of the body and forgets it; whether it was whole.
    pub(crate) async fn drain(&mut self) -> bool {
        while let Some(frame) = within("the rest of a body", self.body.frame()).await {
            if frame.is_err() {
                return false;
            }
        }
        true
    }

    /// The rest of the answer.
    pub(crate) async fn finish(mut self) -> Answer {
        let mut body = Vec::new();
        let mut trailers = None;
        let mut cut = None;
        while let Some(frame) = within("the rest of a body", self.body.frame()).await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => body.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(error) => {
                    cut = Some(format!("{:?}", anyhow::Error::from(error)));
                    break;
                }
            }
        }
        Answer {
            head: self.head,
            body,
            trailers,
            cut,
        }
    }
}

/// An answer as far as it came.
pub(crate) struct Answer {
    head: Parts,
    body: Vec<u8>,
    /// What followed the body.
    pub(crate) trailers: Option<HeaderMap>,
    /// How the client learnt that the body is not whole.
    pub(crate) cut: Option<String>,
}

impl Answer {
    /// The status's number.
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// The head's fields.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The value of a header that has one value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.head.headers.get(name)?.to_str().unwrap())
    }

    /// The body as far as it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The whole body. Panics if it was cut.
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.cut, None, "the answer is whole: {self:?}");
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The whole body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap()
    }

    /// The host's own answer, with nothing in it but what clients may know.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem: Problem = serde_json::from_str(self.text()).unwrap();
        assert_eq!(problem.status, self.status());
        assert_eq!(
            Some(problem.request_id.as_str()),
            self.header("x-request-id")
        );
        assert!(!problem.title.is_empty());
        let retry = matches!(self.status(), 429 | 503);
        assert_eq!(self.header("retry-after").is_some(), retry, "{self:?}");
        problem
    }
}

/// The host's own answer to a request that failed so.
pub(crate) fn assert_failed(answer: &Answer, status: u16, cause: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    let problem = answer.problem();
    assert_eq!(problem.r#type, format!("urn:skep:fault:{cause}"));
}

/// RFC 9457 problem details; a field more would be a leak.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Problem {
    pub(crate) r#type: String,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) service: Option<String>,
    pub(crate) request_id: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 500;
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(SHOWN)]);
        let (length, cut) = (self.body.len(), &self.cut);
        write!(
            f,
            "{} {:?} {length} bytes, cut: {cut:?}: {body}",
            self.head.status, self.head.headers
        )
    }
}
