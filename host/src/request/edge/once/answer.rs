//! Answers that are kept: taken in from the service, written down, and given again.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::{crowded, permits_for};
use crate::fault::{Cause, Fault};
use crate::request::body::early::Early;
use crate::request::body::{Outgoing, OutgoingBody};
use crate::request::edge::answered;
use crate::request::exchange::Exchange;
use crate::request::headers::remove_hop_by_hop;
use crate::request::run::Answered;
use crate::request::run::sender::Sender;
use crate::request::send;
use crate::state::keys::Kept;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Bytes, and the right to hold them in memory, which they have until the last of them is sent.
struct Held {
    bytes: Bytes,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What was answered before, once more.
pub(super) fn replayed(kept: Kept, held: &Arc<Semaphore>) -> Result<Answered, Fault> {
    let permits = permits_for(kept.body.len());
    let held = held.clone().try_acquire_many_owned(permits);
    let body = Bytes::from_owner(Held {
        bytes: kept.body,
        _held: held.map_err(|_| crowded())?,
    });
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(kept.status).map_err(|error| Fault::new(Cause::HostFailed, error))?;
    *response.headers_mut() = read_headers(&kept.headers);
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(REPLAYED, yes);
    Ok(answered(response))
}

/// Headers as HTTP/1.1 writes them; no value has the end of a line in it.
pub(super) fn write_headers(headers: &HeaderMap) -> Bytes {
    let mut written = BytesMut::new();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"] {
            written.extend_from_slice(part);
        }
    }
    written.freeze()
}

fn read_headers(written: &[u8]) -> HeaderMap {
    let lines = written.split(|byte| *byte == b'\n');
    let pairs = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

/// An answer with all of its body, or with the beginning of one that is too long to be kept or too slow, and the rest.
pub(super) type Taken = (Response<Bytes>, Option<OutgoingBody>);

/// Takes in what a service answers, `until` then at the latest.
pub(super) async fn take(
    answered: Answered,
    turn: &Arc<Exchange>,
    idle: Duration,
    most: usize,
    until: Instant,
) -> Result<Taken, Fault> {
    let Answered { response, sender } = answered;
    let promised = send::check(&response)?;
    let (mut parts, body) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    turn.head(parts.status);
    let mut body = Outgoing::boxed(body, promised, turn.clone(), sender, idle, false);
    let mut bytes = BytesMut::new();
    while bytes.len() <= most {
        // What the service goes on with after its time is not waited for.
        let Ok(next) = timeout_at(until, body.frame()).await else {
            break;
        };
        match next {
            None => return Ok((Response::from_parts(parts, bytes.freeze()), None)),
            Some(Ok(frame)) => {
                // Trailers are not kept.
                if let Ok(data) = frame.into_data() {
                    bytes.extend_from_slice(&data);
                }
            }
            Some(Err(cut)) => {
                let unknown = || Fault::new(Cause::InvalidResponse, cut);
                return Err(turn.fault().cloned().unwrap_or_else(unknown));
            }
        }
    }
    Ok((Response::from_parts(parts, bytes.freeze()), Some(body)))
}

/// An answer that is not kept goes on as it comes.
pub(super) fn with_rest(response: Response<Bytes>, rest: OutgoingBody) -> Answered {
    let (parts, beginning) = response.into_parts();
    let beginning = futures::stream::iter([Ok(http_body::Frame::data(beginning))]);
    let rest = rest.map_err(|cut| WasiError::InternalError(Some(cut.to_string())));
    let frames = futures::StreamExt::chain(beginning, http_body_util::BodyStream::new(rest));
    let body: WasiBody = StreamBody::new(frames).boxed_unsync();
    Answered {
        response: Response::from_parts(parts, Early::of(body)),
        sender: Sender::Host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_as_they_were() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", &b"a=b; Path=/"[..]),
            ("set-cookie", b"c=d"),
            ("x-empty", b""),
            ("x-odd", b"\xff: \t"),
        ] {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(read_headers(&write_headers(&headers)), headers);
        assert_eq!(read_headers(b""), HeaderMap::new());
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_in_its_time_is_passed_on_as_it_comes() {
        use futures::StreamExt;

        let bytes = Bytes::from_static(b"beginning");
        let first = futures::stream::iter([Ok(http_body::Frame::data(bytes.clone()))]);
        let body: WasiBody =
            StreamBody::new(first.chain(futures::stream::pending())).boxed_unsync();
        let slow = Answered {
            response: Response::new(Early::of(body)),
            sender: Sender::Host,
        };
        let turn = Exchange::of_nobody();
        let idle = Duration::from_secs(3600);
        let taken = take(slow, &turn, idle, 1 << 20, Instant::now()).await;
        let Ok((response, Some(_))) = taken else {
            panic!("it was waited for");
        };
        assert_eq!(response.body(), &bytes);
    }

    #[test]
    fn what_is_answered_again_holds_memory_until_it_is_sent() {
        let held = Arc::new(Semaphore::new(10));
        let kept = || Kept {
            status: 200,
            headers: Bytes::new(),
            body: Bytes::from_static(b"sixsix"),
        };
        let first = replayed(kept(), &held).unwrap();
        assert_eq!(held.available_permits(), 4);
        let refused = replayed(kept(), &held).map(drop).unwrap_err();
        assert_eq!(refused.cause, Cause::Overloaded);
        drop(first);
        assert_eq!(held.available_permits(), 10);
    }
}
