//! One request and its answer, as the log and the metrics see it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::access::{Outcome, Visitor};
use super::accept::Busy;
use super::edge::Passage;
use super::headers::RequestId;
use super::identity::Identity;
use super::journey::Journey;
use crate::config::ServiceConfig;
use crate::config::service::tolerance::CallRules;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Revision, Service};
use crate::telemetry::edges::Edge;
use crate::telemetry::traffic::HostTraffic;

pub(crate) use self::log::late;

pub(crate) mod access;
mod acted;
mod learnt;
mod log;

/// What is known of a request from its arrival to its last byte. Logged once, when the last holder lets go.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) id: RequestId,
    pub(crate) started: Instant,
    method: Method,
    path: String,
    log: bool,
    host_traffic: Arc<HostTraffic>,
    service: OnceLock<Arc<Service>>,
    pub(super) revision: OnceLock<Arc<Revision>>,
    pub(crate) journey: Journey,
    /// Who sent it, if it comes from outside and that was verified.
    identity: OnceLock<Arc<Identity>>,
    /// For a call: where it is counted for the two services, and what the caller's manifest says.
    edge: Option<Calling>,
    /// Whether it has one of the places that the caller's rules leave for such calls.
    has_place: AtomicBool,
    fault: OnceLock<Fault>,
    refused: Notify,
    /// Whether the guest waits for a part of the request's body that has not arrived.
    awaits_caller: AtomicBool,
    /// Whether somebody may have done something about it, and failed then.
    may_have_acted: AtomicBool,
    sent: Mutex<Sent>,
    /// What is left of the client's rate, if that is limited.
    quota: OnceLock<Quota>,
    /// A cookie that the client gets.
    cookie: OnceLock<HeaderValue>,
    /// Its way through the policies of its route, if that has any.
    passage: OnceLock<Box<Passage>>,
    /// What the access log wants to know, if there is one.
    visitor: OnceLock<Box<Visitor>>,
    /// How the service failed, if another answered in its place.
    covered: OnceLock<Cause>,
    /// Further tries that have come of the request.
    retries: OnceLock<Arc<AtomicU32>>,
    /// One of several tries, or a check: neither counted nor logged.
    is_turn: bool,
    /// A check of a service's health: to be answered by an instance of its own.
    pub(crate) is_check: bool,
    /// The try that gave the answer: what its guest does yet is this exchange's.
    kept: OnceLock<Arc<Self>>,
}

/// Where a call is counted, and the configuration of who makes it.
type Calling = (Arc<Edge>, Arc<ServiceConfig>);

/// What a rate limit says of a request.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    /// As [`quota_policy`](super::headers::quota_policy) says it.
    pub(crate) policy: HeaderValue,
    /// In which a token comes in.
    pub(crate) interval: Duration,
    pub(crate) verdict: skep_policy::rate::Verdict,
}

#[derive(Debug, Default)]
struct Sent {
    /// Until the answer is over.
    connection: Option<Busy>,
    status: Option<StatusCode>,
    /// Whether the answer leaves in a coding, which has not ended.
    in_coding: bool,
    /// The bytes of the body that have left, once nothing follows.
    over: Option<u64>,
}

impl Exchange {
    /// A request from outside, on a connection that is `busy` until the answer is over; or what happens on a WebSocket.
    pub(crate) fn new(
        core: &Core,
        id: RequestId,
        (method, path): (Method, &str),
        journey: Journey,
        busy: Option<Busy>,
    ) -> Arc<Self> {
        Self::begin(core, id, (method, path), journey, (busy, None))
    }

    /// A call from one service, of this `config`, to another, counted on the `edge` between them.
    pub(crate) fn call(
        core: &Core,
        id: RequestId,
        (method, path): (Method, &str),
        journey: Journey,
        (edge, config): (Arc<Edge>, &Arc<ServiceConfig>),
    ) -> Arc<Self> {
        edge.begin();
        let edge = Some((edge, config.clone()));
        Self::begin(core, id, (method, path), journey, (None, edge))
    }

    fn begin(
        core: &Core,
        id: RequestId,
        (method, path): (Method, &str),
        journey: Journey,
        (connection, edge): (Option<Busy>, Option<Calling>),
    ) -> Arc<Self> {
        let log = core.config.log.requests;
        let mut exchange = Self::blank(id, method, journey, core.traffic.clone());
        exchange.edge = edge;
        exchange.log = log;
        exchange.path = if log { path.to_owned() } else { String::new() };
        exchange.sent = Mutex::new(Sent {
            connection,
            ..Sent::default()
        });
        Arc::new(exchange)
    }

    /// Of no service yet, and on no connection.
    fn blank(
        id: RequestId,
        method: Method,
        journey: Journey,
        host_traffic: Arc<HostTraffic>,
    ) -> Self {
        Self {
            id,
            started: Instant::now(),
            method,
            path: String::new(),
            log: false,
            host_traffic,
            service: OnceLock::new(),
            revision: OnceLock::new(),
            journey,
            identity: OnceLock::new(),
            edge: None,
            has_place: AtomicBool::new(false),
            fault: OnceLock::new(),
            refused: Notify::new(),
            awaits_caller: AtomicBool::new(false),
            may_have_acted: AtomicBool::new(false),
            sent: Mutex::default(),
            quota: OnceLock::new(),
            cookie: OnceLock::new(),
            passage: OnceLock::new(),
            visitor: OnceLock::new(),
            covered: OnceLock::new(),
            retries: OnceLock::new(),
            is_turn: false,
            is_check: false,
            kept: OnceLock::new(),
        }
    }

    /// A request that no host knows of.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Arc<Self> {
        let journey = Journey::default();
        let id = RequestId::of_nobody();
        Arc::new(Self::blank(id, Method::GET, journey, Arc::default()))
    }

    /// One try of several for the same request, or another service's turn: what comes of it is no matter of the others.
    pub(crate) fn turn(&self, service: &Arc<Service>) -> Arc<Self> {
        let (method, journey) = (self.method.clone(), self.onward());
        let mut turn = Self::blank(self.id.clone(), method, journey, self.host_traffic.clone());
        turn.started = self.started;
        turn.service = service.clone().into();
        turn.retries = self.retries().clone().into();
        turn.is_turn = true;
        Arc::new(turn)
    }

    /// A check of a service's health, which is no request of anybody's.
    pub(crate) fn check(core: &Core, service: &Arc<Service>) -> Arc<Self> {
        let journey = Journey::default();
        let id = RequestId::new(&core.request_ids);
        let mut check = Self::blank(id, Method::GET, journey, core.traffic.clone());
        check.service = service.clone().into();
        check.is_turn = true;
        check.is_check = true;
        Arc::new(check)
    }

    /// Whether the head of the answer is out, after which the request's own time is no bound any more.
    pub(crate) fn has_head(&self) -> bool {
        self.sent().status.is_some()
    }

    /// The request was tried as in this turn of it, whatever came of that.
    pub(crate) fn tried_as(&self, turn: &Self) {
        self.acted_as(turn);
        if let Some(revision) = turn.revision.get() {
            self.runs_on(revision);
        }
    }

    /// The request is answered as in this turn of it.
    pub(crate) fn keep(&self, turn: &Arc<Self>) {
        // A layer that makes no turns of its own answers in the one that it was given.
        if turn.is_turn && !std::ptr::eq(self, Arc::as_ptr(turn)) {
            // One of them gives the answer.
            drop(self.kept.set(turn.clone()));
        }
    }

    /// For a call: what its caller's manifest says about such calls, if anything.
    pub(crate) fn rules(&self) -> Option<(&Edge, &CallRules)> {
        let (edge, caller) = self.edge.as_ref()?;
        let callee = &self.routed()?.name;
        Some((edge, caller.callees.get(callee)?))
    }

    /// Takes a place among the calls of its kind until the answer is over.
    ///
    /// # Errors
    /// [`Cause::QueueFull`] when none is free.
    pub(crate) fn take_place(&self, edge: &Edge, most: u32) -> Result<(), Fault> {
        if !edge.enter(most) {
            let detail = format!("the caller's manifest allows {most} such calls at once");
            return Err(Fault::new(Cause::QueueFull, detail));
        }
        self.has_place.store(true, Relaxed);
        Ok(())
    }

    /// Records that another service answered a request that failed here.
    pub(crate) fn covered(&self, fault: &Fault, by: &str) {
        let Some(service) = self.routed() else { return };
        // Who answers in a service's place is not covered itself.
        self.covered.get_or_init(|| fault.cause);
        service.standing.traffic.covered(fault.cause);
        let (id, service) = (self.id.as_str(), service.name.as_ref());
        let (cause, detail) = (fault.cause.as_str(), fault.detail.as_str());
        tracing::warn!(target: "skep::request", id, service, cause, detail, by, "answered by fallback");
    }

    /// How the service failed, if another answered in its place.
    fn covered_cause(&self) -> Option<Cause> {
        let of_turn = || self.kept.get()?.covered_cause();
        self.covered.get().copied().or_else(of_turn)
    }

    /// Further tries that have come of the request from outside.
    pub(crate) fn retries(&self) -> &Arc<AtomicU32> {
        let of_tree = || self.journey.retries.clone().unwrap_or_default();
        self.retries.get_or_init(of_tree)
    }

    /// Takes one of so many further tries that may come of the request from outside.
    pub(crate) fn takes_retry(&self, most: u32) -> bool {
        let more = |taken| (taken < most).then_some(taken + 1);
        self.retries().fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    pub(crate) fn routed_to(&self, service: &Arc<Service>) {
        if self.service.set(service.clone()).is_ok() {
            service.standing.traffic.begin();
        }
    }

    pub(crate) fn runs_on(&self, revision: &Arc<Revision>) {
        // A request runs on one revision.
        drop(self.revision.set(revision.clone()));
    }

    /// When the request's time is up at the latest, if `service` answers it.
    pub(crate) fn deadline(&self, service: &Service) -> Instant {
        let own = self.started + service.config.limits.timeout;
        self.journey
            .deadline
            .map_or(own, |of_caller| own.min(of_caller))
    }

    /// The service, once it is known.
    pub(crate) fn routed(&self) -> Option<&Arc<Service>> {
        self.service.get()
    }

    /// The service's name, once it is known.
    pub(crate) fn service(&self) -> Option<&str> {
        self.service.get().map(|service| service.name.as_ref())
    }

    /// Records why there is no answer. Only the first reason counts.
    pub(crate) fn failed(&self, fault: Fault) {
        // Later reasons are consequences of the first.
        drop(self.fault.set(fault));
    }

    /// Records that the guest failed after the head of its answer was out. Must be called before the guest's store is
    /// dropped: a body whose sender is gone looks as if it were whole.
    pub(crate) fn fault_after_head(&self, fault: &Fault) {
        self.failed(fault.clone());
        if let (true, Some(service)) = (self.sent().over.is_some(), self.routed()) {
            let revision = self.revision.get().map_or(0, |revision| revision.number);
            late(service, revision, self.id.as_str(), fault);
        }
    }

    /// Notes whether the guest waits for the request's body.
    pub(crate) fn set_awaits_caller(&self, awaits: bool) {
        self.awaits_caller.store(awaits, Relaxed);
    }

    /// Whether the guest waits for the request's body: then a silent answer is the caller's doing.
    pub(crate) fn awaits_caller(&self) -> bool {
        self.awaits_caller.load(Relaxed)
    }

    /// Refuses the request's body while the guest reads it.
    pub(crate) fn refuse(&self, fault: Fault) {
        self.failed(fault);
        self.refused.notify_one();
    }

    /// Ends when the body is refused.
    pub(crate) async fn refused(&self) -> Fault {
        self.refused.notified().await;
        self.fault
            .get()
            .cloned()
            .unwrap_or_else(|| Cause::HostFailed.into())
    }

    pub(crate) fn fault(&self) -> Option<&Fault> {
        let of_turn = || self.kept.get()?.fault();
        self.fault.get().or_else(of_turn)
    }

    pub(crate) fn head(&self, status: StatusCode) {
        self.sent().status = Some(status);
        if let Some(turn) = self.kept.get() {
            turn.head(status);
        }
    }

    /// The answer leaves in a coding, whose end is the answer's.
    pub(crate) fn leaves_in_coding(&self) {
        self.sent().in_coding = true;
    }

    /// The coding has ended, and the answer with it.
    pub(crate) fn over_in_coding(&self, bytes: u64) {
        self.sent().in_coding = false;
        self.over(bytes);
    }

    /// The answer is over, unless it leaves in a coding that is not: logs it and counts it.
    pub(crate) fn over(&self, bytes: u64) {
        let (status, connection) = {
            let mut sent = self.sent();
            if sent.in_coding || sent.over.is_some() {
                return;
            }
            sent.over = Some(bytes);
            (sent.status, sent.connection.take())
        };
        if let Some(turn) = self.kept.get() {
            turn.over(bytes);
        }
        if let (true, Some((edge, _))) = (self.has_place.load(Relaxed), &self.edge) {
            edge.leave();
        }
        if self.is_turn {
            return;
        }
        let duration = self.started.elapsed();
        let cause = self.fault().map(|fault| fault.cause);
        if let (Some(connection), Some(Cause::CallerGone)) = (&connection, cause) {
            connection.taken_back(duration);
        }
        drop(connection);
        let status = status.unwrap_or_else(|| cause.unwrap_or(Cause::CallerGone).status());
        match &self.edge {
            Some((edge, _)) => edge.traffic.end(status, cause, duration, bytes),
            None => self.host_traffic.end(cause),
        }
        if let Some(service) = self.service.get() {
            service.standing.traffic.end(status, cause, duration, bytes);
            if let Some(tally) = &service.tally {
                tally.end(status, cause.or_else(|| self.covered_cause()), duration);
            }
        }
        self.log(status, duration, bytes);
        if let Some(visitor) = self.visitor.get() {
            visitor.leaves(&Outcome {
                status,
                bytes,
                duration,
                service: self.service(),
                fault: cause.map(Cause::as_str),
                request_id: self.id.as_str(),
                user: self
                    .identity()
                    .and_then(|who| std::str::from_utf8(who.name()).ok()),
            });
        }
    }

    /// The bytes of the body that have left, if the answer is over.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.sent().over
    }

    fn sent(&self) -> std::sync::MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.sent().over.is_none() {
            self.failed(Cause::CallerGone.into());
            self.over(0);
        }
    }
}
