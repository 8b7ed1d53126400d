//! The answer as it leaves: a guest's, made fit for the connection, or the host's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full};
use serde::Serialize;
use tokio::time::timeout;

use super::body::coded::{Coded, Encoder};
use super::body::early::Early;
use super::body::{Cut, Outgoing, OutgoingBody, watched};
use super::exchange::Exchange;
use super::headers::{self, remove_hop_by_hop};
use super::run::Answered;
use super::run::sender::Sender;
use super::websocket::{self, Pledge};
use crate::config::answer::StaticAnswer;
use crate::config::service::tolerance::FallbackAnswer;
use crate::fault::{Cause, Fault};

/// What the request and the settings say about how an answer is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// For how long a body may make no progress.
    pub(crate) body_idle: Duration,
    /// Whether the answer has no body whatever the service sends.
    pub(crate) without_body: bool,
    /// Whether whoever gets the answer may leave it alone without closing a connection.
    pub(crate) may_be_unread: bool,
}

/// Sends what a guest answered.
///
/// # Errors
/// [`Cause::InvalidResponse`] when it can't be an answer.
pub(crate) fn guest(
    answered: Answered,
    exchange: &Arc<Exchange>,
    manner: Manner,
) -> Result<Response<OutgoingBody>, Fault> {
    let Answered { response, sender } = answered;
    let promised = match check(&response) {
        Ok(promised) => promised,
        Err(fault) => {
            sender.release();
            return Err(fault);
        }
    };
    let (mut parts, body) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    parts.headers.remove(header::TE);
    say_of_exchange(&mut parts.headers, exchange);
    exchange.head(parts.status);
    let status_without_body = matches!(
        parts.status,
        StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if status_without_body {
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let is_without_body = manner.without_body || status_without_body;
    let exact = if status_without_body {
        Some(0)
    } else {
        body.size_hint().exact()
    };
    let encoder = leave(&mut parts, exact, exchange);
    if is_without_body {
        exchange.over(0);
        if body.is_end_stream() {
            sender.release();
            return Ok(Response::from_parts(parts, empty()));
        }
        // Not joined: it ends with the guest, at the latest when that has been silent for too long.
        drop(tokio::spawn(discard(body, sender, manner.body_idle)));
        return Ok(Response::from_parts(parts, empty()));
    }
    let body = Outgoing::new(body, promised, exchange.clone(), sender, manner.body_idle);
    let body = match encoder {
        Some(encoder) => watched(Coded::new(body, encoder, exchange.clone()), manner),
        None => watched(body, manner),
    };
    Ok(Response::from_parts(parts, body))
}

/// Has the policies of the request's route, if it has any, see the head of its answer.
fn leave(parts: &mut Parts, exact: Option<u64>, exchange: &Exchange) -> Option<Encoder> {
    exchange.passage()?.leave(parts, exact)
}

/// Lets a guest write a body that nobody gets, as if somebody did.
async fn discard(mut body: Early, sender: Sender, body_idle: Duration) {
    while let Ok(Some(Ok(_))) = timeout(body_idle, body.frame()).await {}
    sender.release();
}

/// Whether the head can be an answer's; the length that it gives the body, if it does.
///
/// # Errors
/// [`Cause::InvalidResponse`] when it can't.
pub(crate) fn check<B>(head: &Response<B>) -> Result<Option<u64>, Fault> {
    let invalid = |detail: String| Fault::new(Cause::InvalidResponse, detail);
    let status = head.status().as_u16();
    if !(200..=599).contains(&status) && !Pledge::is_with(head) {
        return Err(invalid(format!("status {status} is not an answer")));
    }
    let mut lengths = head.headers().get_all(header::CONTENT_LENGTH).iter();
    let (first, second) = (lengths.next(), lengths.next());
    let Some(length) = first else { return Ok(None) };
    let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = length
        .to_str()
        .ok()
        .filter(digits)
        .and_then(|text| text.parse().ok());
    match (number, second) {
        (Some(number), None) => Ok(Some(number)),
        _ => Err(invalid("content-length is not one number".to_owned())),
    }
}

/// RFC 9457 problem details.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    request_id: &'a str,
}

/// Sends what the service's manifest says for requests that failed so.
pub(crate) fn fallback(
    fault: Fault,
    fallback: &FallbackAnswer,
    exchange: &Arc<Exchange>,
    manner: Manner,
) -> Response<OutgoingBody> {
    let FallbackAnswer::Static(answer) = fallback else {
        return self::fault(fault, exchange, manner);
    };
    let (mut head, body) = always_the_same(answer).into_parts();
    headers::insert_fallback(&mut head.headers, "static");
    let response = Response::from_parts(head, ());
    finish(response, body, fault, exchange, manner)
}

/// An answer that a file says whole.
pub(crate) fn always_the_same(answer: &StaticAnswer) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in &answer.headers {
        // Checked when the file was read.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Sends the host's own answer for a request that failed. The detail stays in the log.
pub(crate) fn fault(
    fault: Fault,
    exchange: &Arc<Exchange>,
    manner: Manner,
) -> Response<OutgoingBody> {
    let cause = fault.cause;
    let problem = Problem {
        r#type: format!("urn:skep:fault:{}", cause.as_str()),
        title: cause.title(),
        status: cause.status().as_u16(),
        service: exchange.service(),
        request_id: exchange.id.as_str(),
    };
    // Plain strings and a number: this can't fail.
    let body = Bytes::from(serde_json::to_vec(&problem).unwrap_or_default());
    let mut response = Response::new(());
    *response.status_mut() = cause.status();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if let Some(allow) = fault
        .allow
        .as_ref()
        .and_then(|allow| HeaderValue::try_from(allow.as_str()).ok())
    {
        headers.insert(header::ALLOW, allow);
    }
    for challenge in &fault.challenges {
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
    }
    if let Some(seconds) = fault.retry_after.or(cause.retry_after()) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if cause == Cause::UpgradeVersion {
        websocket::say_version(headers);
    }
    if matches!(cause, Cause::BodyTooLarge | Cause::BodyTimeout) {
        // The rest of the body is not read, so the connection can't be used again.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    finish(response, body, fault, exchange, manner)
}

/// The host's answer as it leaves, and the end of the exchange.
fn finish(
    response: Response<()>,
    body: Bytes,
    fault: Fault,
    exchange: &Arc<Exchange>,
    manner: Manner,
) -> Response<OutgoingBody> {
    let (mut parts, ()) = response.into_parts();
    let length = HeaderValue::from(body.len());
    parts.headers.insert(header::CONTENT_LENGTH, length);
    say_of_exchange(&mut parts.headers, exchange);
    // For a caller in the same process.
    parts.extensions.insert(fault.clone());
    exchange.failed(fault);
    exchange.head(parts.status);
    let bytes = body.len() as u64;
    let sent = if manner.without_body { 0 } else { bytes };
    let body = Full::new(body).map_err(|never| -> Cut { match never {} });
    let body = match leave(&mut parts, Some(bytes), exchange) {
        _ if manner.without_body => empty(),
        Some(encoder) => watched(Coded::new(body, encoder, exchange.clone()), manner),
        None => body.boxed_unsync(),
    };
    exchange.over(sent);
    Response::from_parts(parts, body)
}

/// Headers that policies say of most answers, beside the service's own.
const OF_POLICIES: usize = 6;

fn say_of_exchange(headers: &mut http::HeaderMap, exchange: &Exchange) {
    if exchange.passage().is_some() {
        // Once, and not again and again as they come.
        headers.reserve(OF_POLICIES);
    }
    exchange.id.insert(headers);
    if let Some(quota) = exchange.quota() {
        headers::insert_quota(headers, quota);
    }
    if let Some(cookie) = exchange.cookie() {
        headers.append(header::SET_COOKIE, cookie.clone());
    }
}

fn empty() -> OutgoingBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANNER: Manner = Manner {
        body_idle: Duration::from_secs(30),
        without_body: false,
        may_be_unread: false,
    };

    fn head(status: u16, lengths: &[&'static str]) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for length in lengths {
            let length = HeaderValue::from_static(length);
            response
                .headers_mut()
                .append(header::CONTENT_LENGTH, length);
        }
        response
    }

    #[test]
    fn an_answer_has_a_final_status_and_at_most_one_length() {
        for (status, lengths, expected) in [
            (200, &[][..], Some(None)),
            (599, &["0"], Some(Some(0))),
            (200, &["18446744073709551615"], Some(Some(u64::MAX))),
            (200, &["18446744073709551616"], None),
            (200, &["+1"], None),
            (200, &["1, 1"], None),
            (200, &["1", "1"], None),
            (200, &[""], None),
            (101, &[], None),
            (199, &[], None),
            (600, &[], None),
        ] {
            let found = check(&head(status, lengths));
            match expected {
                Some(expected) => assert_eq!(found.unwrap(), expected, "{status} {lengths:?}"),
                None => assert_eq!(found.unwrap_err().cause, Cause::InvalidResponse),
            }
        }
    }

    #[tokio::test]
    async fn every_fault_is_answered_with_its_status_and_nothing_of_its_detail() {
        for cause in Cause::ALL {
            let exchange = Exchange::of_nobody();
            let response = fault(Fault::new(cause, "inside"), &exchange, MANNER);
            assert_eq!(response.status(), cause.status());
            let headers = response.headers().clone();
            assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(headers["x-request-id"], "test");
            let retry = headers.contains_key(header::RETRY_AFTER);
            assert_eq!(retry, cause.retry_after().is_some());
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(headers[header::CONTENT_LENGTH], body.len().to_string());
            assert!(!String::from_utf8_lossy(&body).contains("inside"));
            assert_eq!(exchange.fault().unwrap().cause, cause);
        }
    }

    #[tokio::test]
    async fn without_a_body_the_head_is_the_same() {
        let whole = fault(Cause::NoRoute.into(), &Exchange::of_nobody(), MANNER);
        let manner = Manner {
            without_body: true,
            ..MANNER
        };
        let exchange = Exchange::of_nobody();
        let head = fault(Cause::NoRoute.into(), &exchange, manner);
        assert_eq!(exchange.bytes(), Some(0));
        assert_eq!(whole.headers(), head.headers());
        let body = head.into_body().collect().await.unwrap().to_bytes();
        assert!(body.is_empty());
    }
}
