//! Requests that are carried out once by their key: the service is asked after the key was taken, and what it answers is
//! kept before the client has it. The client may be gone by then.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use sha2::{Digest, Sha256};
use skep_policy::idempotency::{Asked, Idempotency, Verdict, is_kept};
use skep_policy::routes::RouteSpec;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use self::answer::{replayed, take, with_rest, write_headers};
use super::answered;
use crate::config::ServiceConfig;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Service, Snapshot};
use crate::request::exchange::Exchange;
use crate::request::headers::FALLBACK;
use crate::request::run::Answered;
use crate::request::visit::Visit;
use crate::state::State;
use crate::state::keys::{self, End, Id, Kept, Looked};

mod answer;
#[cfg(test)]
mod tests;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Seconds after which the first request of a key may have been answered.
const RETRY_AFTER: u32 = 1;
/// How long an answer waits until it is written down.
const END_WAIT_MAX: Duration = Duration::from_secs(10);

/// A policy, and what its keys are known by beside themselves.
#[derive(Debug)]
pub(super) struct Once {
    policy: Idempotency,
    service: Arc<str>,
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
        let service: &str = service.name.as_ref();
        Self {
            policy: policy.clone(),
            service: service.into(),
            scope: part(part(Sha256::new(), service.as_bytes()), &route),
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
                let scope = sent_by(scope, exchange, request.headers());
                part(part(scope, b"key"), key.as_bytes()).finalize().into()
            }
        };
        let fingerprint = part(part(Sha256::new(), method.as_bytes()), asked.as_bytes());
        let (parts, body) = request.into_parts();
        let body_max = usize::try_from(self.policy.body_max).unwrap_or(usize::MAX);
        // Who sends slowly does not keep others from the memory.
        let collected = collect(&core.state, exchange, body, body_max);
        let (body, held) = in_time(exchange, collected, not_arrived).await?;
        let looked = core.state.keys.begin(keys::Request {
            id,
            service: self.service.clone(),
            fingerprint: part(fingerprint, &body).finalize().into(),
            expiry: self.policy.expiry,
        });
        let looked = async { looked.await.map_err(unwritten) };
        match in_time(exchange, looked, not_looked_up).await? {
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
            Looked::Answered(found) => {
                drop((body, held));
                let replayed = replay(core, found);
                let replayed = in_time(exchange, replayed, not_looked_up).await?;
                Ok(Found::Answered(replayed))
            }
            Looked::Refused(verdict) => Err(refused(verdict)),
            Looked::Full => {
                let detail =
                    "as many idempotency keys are known, of the service or in all, as may be";
                Err(Fault::new(Cause::Overloaded, detail))
            }
        }
    }
}

/// What was answered before, once more.
async fn replay(core: &Core, found: keys::Found) -> Result<Answered, Fault> {
    let keys = &core.state.keys;
    let bytes = usize::try_from(found.bytes).unwrap_or(usize::MAX);
    let held = claim(&keys.held, bytes).ok_or_else(crowded)?;
    let kept = keys.fetch(found, held).await.map_err(unwritten)?;
    // Whoever asks again learns what is known of the key since.
    replayed(kept.ok_or_else(crowded)?)
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

fn not_looked_up() -> Fault {
    let detail = "[limits] timeout passed before the idempotency key was looked up";
    Fault::new(Cause::HostFailed, detail)
}

fn unwritten(error: keys::KeysError) -> Fault {
    Fault::new(Cause::HostFailed, error)
}

/// Adds a part to what is hashed, so that no two lists of parts are the same.
fn part(hash: Sha256, bytes: &[u8]) -> Sha256 {
    let length = (bytes.len() as u64).to_be_bytes();
    hash.chain_update(length).chain_update(bytes)
}

/// Adds who sends a request: whoever was verified, or else whatever it says of that.
fn sent_by(scope: Sha256, exchange: &Exchange, headers: &HeaderMap) -> Sha256 {
    let Some(who) = exchange.identity() else {
        let says = headers.get_all(header::AUTHORIZATION).iter();
        return says.fold(part(scope, b"unverified"), |scope, says| {
            part(scope, says.as_bytes())
        });
    };
    let scope = part(scope, who.scheme.as_str().as_bytes());
    let issuer = who.issuer().map(ToString::to_string).unwrap_or_default();
    part(part(scope, issuer.as_bytes()), who.name())
}

/// The right to hold as many bytes in memory, if there is room.
fn claim(memory: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    memory.clone().try_acquire_many_owned(permits).ok()
}

/// The same beside what is held already. False if there is no room.
fn claim_more(
    memory: &Arc<Semaphore>,
    held: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
) -> bool {
    let Some(more) = claim(memory, bytes) else {
        return false;
    };
    match held {
        Some(held) => held.merge(more),
        none => *none = Some(more),
    }
    true
}

fn crowded() -> Fault {
    let detail = "requests with idempotency keys hold as much memory as they may";
    Fault::new(Cause::Overloaded, detail)
}

/// Waits for what is `awaited` until the request's deadline.
async fn in_time<T>(
    exchange: &Exchange,
    awaited: impl Future<Output = Result<T, Fault>>,
    late: fn() -> Fault,
) -> Result<T, Fault> {
    let Some(service) = exchange.routed() else {
        return awaited.await;
    };
    let awaited = timeout_at(exchange.deadline(service), awaited).await;
    awaited.unwrap_or_else(|_| Err(late()))
}

fn not_arrived() -> Fault {
    let detail = "[limits] timeout passed before the body had arrived";
    Fault::new(Cause::BodyTimeout, detail)
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
        if !claim_more(&state.keys.held, &mut held, data.len()) {
            return Err(crowded());
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes.freeze(), held))
}

impl Ticket {
    /// Asks the service, and keeps what it answers. Goes on to the end although nobody may wait for it.
    ///
    /// # Errors
    /// Why there is no answer; the key is free again if the service has done nothing.
    pub(crate) async fn carry_out(
        self,
        snapshot: &Arc<Snapshot>,
        service: &Arc<Service>,
        exchange: &Arc<Exchange>,
        request: Request<WasiBody>,
    ) -> Result<Answered, Fault> {
        let (snapshot, service) = (snapshot.clone(), service.clone());
        let (exchange, tracker) = (exchange.clone(), self.core.carried_out.clone());
        let task = async move { self.run(&snapshot, &service, &exchange, request).await };
        // A host that drains waits for it.
        match tracker.spawn(task).await {
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
            Ok(answered) => {
                // As long again as the service may take for the head.
                let until = Instant::now() + service.config.limits.timeout;
                let taken = take(
                    answered,
                    &turn,
                    (idle, until),
                    &core.state.keys.held,
                    self.body_max,
                )
                .await;
                taken.inspect_err(|fault| turn.failed_when_begun(fault))
            }
            Err(fault) => Err(fault),
        };
        let without_answer = match turn.may_have_acted() {
            true => End::Lost,
            false => End::Free,
        };
        let (response, rest) = match taken {
            Ok(taken) => taken,
            Err(fault) => {
                self.end(without_answer).await?;
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
            false => without_answer,
        };
        self.end(end).await?;
        Ok(answered(response))
    }

    async fn end(&mut self, end: End) -> Result<(), Fault> {
        self.ended = true;
        let written = self.core.state.keys.end(self.id, end);
        let until = Instant::now() + END_WAIT_MAX;
        timeout_at(until, written).await.map_or_else(
            |_| {
                // It is written when the disk comes to it.
                let detail = "what became of a request with an idempotency key is not written yet";
                Err(Fault::new(Cause::HostFailed, detail))
            },
            |written| written.map_err(unwritten),
        )
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
