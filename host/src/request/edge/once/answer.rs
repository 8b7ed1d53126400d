//! Answers that are kept: taken in from the service, written down, and given again.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::claim_more;
use crate::fault::{Cause, Fault};
use crate::request::body::early::Early;
use crate::request::body::{Outgoing, OutgoingBody};
use crate::request::edge::answered;
use crate::request::exchange::Exchange;
use crate::request::headers::remove_hop_by_hop;
use crate::request::run::Answered;
use crate::request::run::sender::Sender;
use crate::request::send;
use crate::state::keys::{Kept, holding};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What was answered before, once more.
pub(super) fn replayed(kept: Kept) -> Result<Answered, Fault> {
    let mut response = Response::new(kept.body);
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

/// An answer with all of its body, or with the beginning of one that is too long to be kept or too slow, or for which there is
/// no room in memory, and the rest.
pub(super) type Taken = (Response<Bytes>, Option<OutgoingBody>);

/// Takes in what a service answers, with no silence longer than `idle`, `until` then at the latest; at `most` so many bytes, as
/// long as there is `memory` for them.
pub(super) async fn take(
    answered: Answered,
    turn: &Arc<Exchange>,
    (idle, until): (Duration, Instant),
    memory: &Arc<Semaphore>,
    most: usize,
) -> Result<Taken, Fault> {
    let Answered { response, sender } = answered;
    let promised = send::check(&response)?;
    let (mut parts, body) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    turn.head(parts.status);
    let mut body = Outgoing::new(body, promised, turn.clone(), sender, idle).boxed_unsync();
    let (mut bytes, mut held) = (BytesMut::new(), None);
    let (mut is_whole, mut has_room) = (false, true);
    while !is_whole && has_room && bytes.len() <= most {
        // What the service goes on with after its time is not waited for.
        let Ok(next) = timeout_at(until, body.frame()).await else {
            break;
        };
        match next {
            None => is_whole = true,
            Some(Ok(frame)) => {
                // Trailers are not kept.
                if let Ok(data) = frame.into_data() {
                    has_room = claim_more(memory, &mut held, data.len());
                    bytes.extend_from_slice(&data);
                }
            }
            Some(Err(cut)) => {
                let unknown = || Fault::new(Cause::InvalidResponse, cut);
                return Err(turn.fault().cloned().unwrap_or_else(unknown));
            }
        }
    }
    let bytes = match held {
        Some(held) => holding(bytes.freeze(), held),
        None => bytes.freeze(),
    };
    let rest = (!is_whole).then_some(body);
    Ok((Response::from_parts(parts, bytes), rest))
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

    fn answer(beginning: &[Bytes]) -> Answered {
        use futures::StreamExt;

        let frames = beginning
            .iter()
            .cloned()
            .map(http_body::Frame::data)
            .map(Ok);
        let frames: Vec<_> = frames.collect();
        let frames = futures::stream::iter(frames).chain(futures::stream::pending());
        let body: WasiBody = StreamBody::new(frames).boxed_unsync();
        Answered {
            response: Response::new(Early::of(body)),
            sender: Sender::Host,
        }
    }

    const IDLE: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn an_answer_that_does_not_end_in_its_time_is_passed_on_as_it_comes() {
        let bytes = Bytes::from_static(b"beginning");
        let (turn, memory) = (Exchange::of_nobody(), Arc::new(Semaphore::new(1 << 20)));
        let slow = answer(std::slice::from_ref(&bytes));
        let taken = take(slow, &turn, (IDLE, Instant::now()), &memory, 1 << 20).await;
        let Ok((response, Some(_))) = taken else {
            panic!("it was waited for");
        };
        assert_eq!(response.body(), &bytes);
    }

    #[tokio::test]
    async fn an_answer_for_which_there_is_no_room_is_passed_on_and_what_there_is_held_until_it_is_sent()
     {
        let parts = [b"four", b"more", b"last"].map(|part| Bytes::from_static(part));
        let (turn, memory) = (Exchange::of_nobody(), Arc::new(Semaphore::new(6)));
        let until = Instant::now() + IDLE;
        let taken = take(answer(&parts), &turn, (IDLE, until), &memory, 1 << 20).await;
        let Ok((response, Some(rest))) = taken else {
            panic!("there was room");
        };
        assert_eq!(response.body(), &b"fourmore"[..]);
        assert_eq!(memory.available_permits(), 2);
        let mut passed = with_rest(response, rest).response.into_body();
        for expected in [&b"fourmore"[..], b"last"] {
            let frame = passed.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), expected);
        }
        assert_eq!(memory.available_permits(), 6);
    }
}
