//! Requests that are carried out once by their key: the service is asked after the key was taken, and what it answers is
//! kept before the client has it. The client may be gone by then.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, StreamBody};
use sha2::{Digest, Sha256};
use skep_policy::idempotency::{Asked, Idempotency, Verdict, is_kept};
use skep_policy::routes::RouteSpec;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::answered;
use crate::config::ServiceConfig;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Service, Snapshot};
use crate::request::body::early::Early;
use crate::request::body::{Outgoing, OutgoingBody};
use crate::request::exchange::Exchange;
use crate::request::headers::{FALLBACK, remove_hop_by_hop};
use crate::request::run::Answered;
use crate::request::run::sender::Sender;
use crate::request::send;
use crate::request::visit::Visit;
use crate::state::State;
use crate::state::keys::{self, End, Id, Kept, Looked};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Who sends a request, as the gateway has verified it.
const IDENTITY: HeaderName = HeaderName::from_static("x-skep-identity");
/// Seconds after which the first request of a key may have been answered.
const RETRY_AFTER: u32 = 1;

/// A policy, and what its keys are known by beside themselves.
#[derive(Debug)]
pub(super) struct Once {
    policy: Idempotency,
    /// The service and the route.
    scope: Sha256,
}

/// A key that is taken, until it is said what became of its request.
pub(crate) struct Ticket {
    core: Arc<Core>,
    id: Id,
    body_max: usize,
    /// What the request holds in memory.
    held: Option<OwnedSemaphorePermit>,
    /// Whether the service may have been asked.
    asked: bool,
    ended: bool,
}

/// What comes of a request with this policy.
pub(super) enum Found {
    /// It has no key.
    Goes(Request<WasiBody>),
    /// It is the first with its key.
    First(Request<WasiBody>, Ticket),
    /// It was answered before.
    Answered(Answered),
}

impl Once {
    pub(super) fn of(policy: &Idempotency, service: &ServiceConfig, route: &RouteSpec) -> Self {
        // A route is the same as long as its host, path and methods are.
        let route = serde_json::to_vec(route).unwrap_or_default();
        Self {
            policy: policy.clone(),
            scope: part(
                part(Sha256::new(), service.name.as_ref().as_bytes()),
                &route,
            ),
        }
    }

    /// Looks at a request's key, if it has one; `asked` is its target as the client sent it.
    ///
    /// # Errors
    /// Why the request is refused.
    pub(super) async fn look(
        &self,
        core: &Arc<Core>,
        exchange: &Exchange,
        request: Request<WasiBody>,
        asked: &str,
    ) -> Result<Found, Fault> {
        let keys = request.headers().get_all(KEY);
        let keys = keys.iter().map(HeaderValue::as_bytes);
        let method = request.method().as_str();
        let id = match self.policy.asked(method, keys) {
            Asked::Nothing => return Ok(Found::Goes(request)),
            Asked::Missing => return Err(Cause::IdempotencyKeyMissing.into()),
            Asked::Malformed => return Err(Cause::IdempotencyKeyMalformed.into()),
            Asked::Once(key) => {
                // One route may be for the hosts of many.
                let host = request.uri().host().unwrap_or_default();
                let scope = part(self.scope.clone(), host.to_ascii_lowercase().as_bytes());
                let who = request.headers().get_all(IDENTITY).iter();
                let scope = who.fold(scope, |scope, who| part(scope, who.as_bytes()));
                part(part(scope, b"key"), key.as_bytes()).finalize().into()
            }
        };
        let fingerprint = part(part(Sha256::new(), method.as_bytes()), asked.as_bytes());
        let (parts, body) = request.into_parts();
        let body_max = usize::try_from(self.policy.body_max).unwrap_or(usize::MAX);
        let (body, held) = collect(&core.state, exchange, body, body_max).await?;
        let looked = core.state.keys.begin(keys::Request {
            id,
            fingerprint: part(fingerprint, &body).finalize().into(),
            expiry: self.policy.expiry,
        });
        match looked.await.map_err(unwritten)? {
            Looked::Begun => {
                let ticket = Ticket {
                    core: core.clone(),
                    id,
                    body_max,
                    held,
                    asked: false,
                    ended: false,
                };
                let body = Full::new(body).map_err(|never| match never {});
                let request = Request::from_parts(parts, body.boxed_unsync());
                Ok(Found::First(request, ticket))
            }
            Looked::Answered(kept) => Ok(Found::Answered(replayed(kept)?)),
            Looked::Refused(verdict) => Err(refused(verdict)),
        }
    }
}

fn refused(verdict: Verdict) -> Fault {
    match verdict {
        Verdict::Reused => Cause::IdempotencyKeyReused.into(),
        Verdict::InDoubt => Cause::IdempotencyInDoubt.into(),
        Verdict::InFlight | Verdict::Run | Verdict::Replay => {
            let mut fault = Fault::from(Cause::IdempotencyInFlight);
            fault.retry_after = Some(RETRY_AFTER);
            fault
        }
    }
}

fn unwritten(error: keys::KeysError) -> Fault {
    Fault::new(Cause::HostFailed, error)
}

/// Adds a part to what is hashed, so that no two lists of parts are the same.
fn part(hash: Sha256, bytes: &[u8]) -> Sha256 {
    let length = (bytes.len() as u64).to_be_bytes();
    hash.chain_update(length).chain_update(bytes)
}

/// The whole body of a request, and the right to hold it in memory.
async fn collect(
    state: &State,
    exchange: &Exchange,
    mut body: WasiBody,
    most: usize,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Fault> {
    let too_large = || {
        let detail = format!("the body is larger than [edge.idempotency] body_max of {most} bytes");
        Err(Fault::new(Cause::BodyTooLarge, detail))
    };
    if body.size_hint().lower() > most as u64 {
        return too_large();
    }
    let (mut bytes, mut held) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
    while let Some(frame) = body.frame().await {
        // Why it ended is in the exchange, if the caller did not just go.
        let gone = |error: WasiError| Fault::new(Cause::CallerGone, error);
        let frame = frame.map_err(|error| exchange.fault().cloned().unwrap_or(gone(error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > most {
            return too_large();
        }
        let permits = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let more = state.keys.held.clone().try_acquire_many_owned(permits);
        let more = more.map_err(|_| {
            let detail = "requests with idempotency keys hold as much memory as they may";
            Fault::new(Cause::Overloaded, detail)
        })?;
        match &mut held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.freeze(), held))
}

/// What was answered before, once more.
fn replayed(kept: Kept) -> Result<Answered, Fault> {
    let mut response = Response::new(kept.body);
    *response.status_mut() =
        StatusCode::from_u16(kept.status).map_err(|error| Fault::new(Cause::HostFailed, error))?;
    *response.headers_mut() = read_headers(&kept.headers);
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(REPLAYED, yes);
    Ok(answered(response))
}

/// Headers as HTTP/1.1 writes them; no value has the end of a line in it.
fn write_headers(headers: &HeaderMap) -> Bytes {
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

impl Ticket {
    /// Asks the service, and keeps what it answers. Goes on to the end although nobody may wait for it.
    ///
    /// # Errors
    /// Why there is no answer; the key is free again, unless it is not known what the service has done.
    pub(crate) async fn carry_out(
        self,
        snapshot: &Arc<Snapshot>,
        service: &Arc<Service>,
        exchange: &Arc<Exchange>,
        request: Request<WasiBody>,
    ) -> Result<Answered, Fault> {
        let (snapshot, service) = (snapshot.clone(), service.clone());
        let exchange = exchange.clone();
        let task = async move { self.run(&snapshot, &service, &exchange, request).await };
        // Not tracked: the connection counts until the exchange is over, and the task holds it.
        match tokio::spawn(task).await {
            Ok(answered) => answered,
            Err(error) => Err(Fault::new(Cause::HostFailed, error)),
        }
    }

    async fn run(
        mut self,
        snapshot: &Arc<Snapshot>,
        service: &Arc<Service>,
        exchange: &Arc<Exchange>,
        request: Request<WasiBody>,
    ) -> Result<Answered, Fault> {
        let core = self.core.clone();
        let idle = core.config.timeouts.body_idle;
        // What the service answers is over before the answer to the client begins.
        let turn = exchange.turn(service);
        self.asked = true;
        let visit = Visit::new(&core, snapshot, service, exchange, None).in_turn(&turn);
        let reached = visit.reach(request).await;
        exchange.tried_as(&turn);
        exchange.keep(&turn);
        let taken = match reached {
            Ok(answered) => take(answered, &turn, idle, self.body_max).await,
            Err(fault) => Err(fault),
        };
        let (response, rest) = match taken {
            Ok(taken) => taken,
            Err(fault) => {
                self.end(End::Free).await?;
                return Err(fault);
            }
        };
        if let Some(rest) = rest {
            self.end(End::Lost).await?;
            return Ok(with_rest(response, rest));
        }
        // What another answered in its place is no result of its own.
        let is_its_own = !response.headers().contains_key(FALLBACK);
        let end = match is_its_own && is_kept(response.status().as_u16()) {
            true => End::Answered(Kept {
                status: response.status().as_u16(),
                headers: write_headers(response.headers()),
                body: response.body().clone(),
            }),
            false => End::Free,
        };
        self.end(end).await?;
        Ok(answered(response))
    }

    async fn end(&mut self, end: End) -> Result<(), Fault> {
        self.ended = true;
        self.core
            .state
            .keys
            .end(self.id, end)
            .await
            .map_err(unwritten)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        drop(self.held.take());
        if !self.ended {
            let end = match self.asked {
                true => End::Lost,
                false => End::Free,
            };
            self.core.state.keys.end_soon(self.id, end);
        }
    }
}

/// An answer with all of its body, or with the beginning of one that is too long to be kept, and the rest.
type Taken = (Response<Bytes>, Option<OutgoingBody>);

/// Takes in what a service answers.
async fn take(
    answered: Answered,
    turn: &Arc<Exchange>,
    idle: Duration,
    most: usize,
) -> Result<Taken, Fault> {
    let Answered { response, sender } = answered;
    let promised = send::check(&response)?;
    let (mut parts, body) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    turn.head(parts.status);
    let mut body = Outgoing::boxed(body, promised, turn.clone(), sender, idle, false);
    let mut bytes = BytesMut::new();
    while bytes.len() <= most {
        match body.frame().await {
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

/// An answer that is too long to be kept goes on as it comes.
fn with_rest(response: Response<Bytes>, rest: OutgoingBody) -> Answered {
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
}
