//! What a manifest wants done about faults: requests that are too many are refused, a service that fails is given a rest,
//! what failed is tried again, and another answers in its place.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use skep_policy::breaker::{self, Breaker, Outcome, Pass};
use skep_policy::health::{self, Health};
use skep_policy::rate::Limiter;
use tokio::time::{Instant, sleep_until};
use wasmtime_wasi_http::WasiBody;

use super::exchange::{Exchange, Quota};
use super::headers::FORWARDED_FOR;
use super::run::Answered;
use super::run::meter::Payer;
use super::{attempt, headers};
use crate::config::service::tolerance::{FallbackAnswer, RateKey, RateLimit, Retry, Tolerance};
use crate::fault::{Blame, Cause, Fault};
use crate::host::Core;
use crate::registry::{Service, Snapshot};

/// What a service's tolerance remembers from request to request, and from revision to revision.
#[derive(Debug)]
pub(crate) struct Guards {
    /// What the policies' time is counted from.
    start: Instant,
    breaker: Mutex<Option<Breaker>>,
    limiter: Mutex<Option<Limiter>>,
    health: Mutex<Health>,
    retrying: AtomicU32,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            breaker: Mutex::default(),
            limiter: Mutex::default(),
            health: Mutex::default(),
            retrying: AtomicU32::new(0),
        }
    }
}

impl Guards {
    /// What is configured otherwise than before starts afresh.
    pub(crate) fn configure(&self, tolerance: &Tolerance) {
        let mut breaker = lock(&self.breaker);
        if breaker.as_ref().map(Breaker::settings) != tolerance.breaker.as_ref() {
            let new = tolerance.breaker.clone().map(Breaker::new);
            *breaker = new.map(|new| new.in_place_of(breaker.as_ref()));
        }
        if tolerance.health.is_none() {
            *lock(&self.health) = Health::default();
        }
        let mut limiter = lock(&self.limiter);
        let settings = tolerance.rate_limit.as_ref().map(|limit| &limit.settings);
        if limiter.as_ref().map(Limiter::settings) != settings {
            *limiter = settings.cloned().map(Limiter::new);
        }
    }

    /// Takes in a check of the service's health; whether that changed what is thought of it.
    pub(crate) fn note_health(&self, is_good: bool, settings: &health::Settings) -> bool {
        lock(&self.health).record(is_good, settings)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        lock(&self.health).is_healthy()
    }

    /// What the breaker does with requests now, if there is one.
    pub(crate) fn breaker_state(&self) -> Option<breaker::State> {
        let now = self.start.elapsed();
        lock(&self.breaker)
            .as_ref()
            .map(|breaker| breaker.state(now))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `service` answer as its manifest wants.
///
/// # Errors
/// Why there is no answer, also not in the service's place.
pub(super) async fn reach(
    core: &Arc<Core>,
    snapshot: &Arc<Snapshot>,
    service: &Arc<Service>,
    request: Request<WasiBody>,
    exchange: &Arc<Exchange>,
    payer: Option<Payer>,
) -> Result<Answered, Fault> {
    let tolerance = &service.config.tolerance;
    if let Some(limit) = &tolerance.rate_limit {
        rate(limit, service, &request, exchange)?;
    }
    let spare = spare(&request);
    let answered = match (&tolerance.retry, &spare) {
        (Some(retry), Some(spare)) => {
            let tries = Tries {
                core,
                snapshot,
                service,
                exchange,
                payer: payer.clone(),
                retry,
            };
            tries.run(request, spare).await
        }
        _ => {
            // What another service then answers has nothing to do with how this one failed.
            let turn = match &spare {
                Some(_) if tolerance.fallback.is_some() => exchange.turn(service),
                _ => exchange.clone(),
            };
            let payer = payer.clone();
            let answered = guarded(core, snapshot, service, request, &turn, payer, None).await;
            if answered.is_ok() {
                exchange.keep(&turn);
            }
            answered
        }
    };
    let fault = match answered {
        Ok(answered) => return Ok(answered),
        Err(fault) => fault,
    };
    let fallback = tolerance
        .fallback
        .as_ref()
        .filter(|fallback| fallback.on.contains(&fault.cause));
    let (Some(FallbackAnswer::Service(name)), Some(spare)) =
        (fallback.map(|fallback| &fallback.answer), spare)
    else {
        return Err(fault);
    };
    let Some(other) = snapshot.services.get(name) else {
        return Err(fault);
    };
    if Instant::now() >= exchange.deadline(other) {
        return Err(fault);
    }
    let turn = exchange.turn(other);
    let request = request_of(&spare);
    match attempt(core, snapshot, other, request, &turn, payer, None).await {
        Ok(mut answered) => {
            exchange.keep(&turn);
            exchange.covered(&fault, name.as_str());
            headers::insert_fallback(answered.response.headers_mut(), name.as_str());
            Ok(answered)
        }
        // What went wrong first says more.
        Err(_) => Err(fault),
    }
}

/// Counts the request against its limit.
fn rate(
    limit: &RateLimit,
    service: &Service,
    request: &Request<WasiBody>,
    exchange: &Exchange,
) -> Result<(), Fault> {
    let guards = &service.standing.guards;
    let now = guards.start.elapsed();
    let caller = exchange.journey.caller.as_ref();
    let header = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
    let mut guard = lock(&guards.limiter);
    let Some(limiter) = guard.as_mut() else {
        return Ok(());
    };
    let verdict = match (&limit.key, caller) {
        (RateKey::All, _) => limiter.take((), now),
        (RateKey::Client, Some(caller)) => limiter.take(caller.service.as_str(), now),
        (RateKey::Client, None) => limiter.take(network(header(FORWARDED_FOR.as_str())), now),
        (RateKey::Header(name), _) => limiter.take(header(name), now),
    };
    drop(guard);
    exchange.says_quota(Quota {
        settings: limit.settings.clone(),
        verdict,
    });
    if verdict.passes {
        return Ok(());
    }
    let mut fault = Fault::new(Cause::RateLimited, "more requests than [rate_limit] allows");
    fault.retry_after = Some(whole_seconds(verdict.retry_after));
    Err(fault)
}

/// The address that a client can't change at will: of IPv6 it has at least 64 bits to itself.
fn network(address: Option<&[u8]>) -> Option<IpAddr> {
    let address = std::str::from_utf8(address?).ok()?.parse().ok()?;
    Some(match address {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

/// Seconds, rounded up; at least one.
pub(super) fn whole_seconds(time: Duration) -> u32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

/// The head of a request that can be sent again, which is one without a body.
fn spare(request: &Request<WasiBody>) -> Option<Request<()>> {
    let promised = request.headers().get(header::CONTENT_LENGTH);
    let is_empty = request.body().is_end_stream() || promised.is_some_and(|length| length == "0");
    if !is_empty {
        return None;
    }
    let mut spare = Request::new(());
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.headers_mut() = request.headers().clone();
    *spare.extensions_mut() = request.extensions().clone();
    Some(spare)
}

fn request_of(spare: &Request<()>) -> Request<WasiBody> {
    let nothing = Empty::new().map_err(|never| match never {});
    spare.clone().map(|()| nothing.boxed_unsync())
}

/// One request's tries.
struct Tries<'a> {
    core: &'a Arc<Core>,
    snapshot: &'a Arc<Snapshot>,
    service: &'a Arc<Service>,
    exchange: &'a Arc<Exchange>,
    payer: Option<Payer>,
    retry: &'a Retry,
}

impl Tries<'_> {
    async fn run(&self, first: Request<WasiBody>, spare: &Request<()>) -> Result<Answered, Fault> {
        let settings = &self.retry.settings;
        let deadline = self.exchange.deadline(self.service);
        let (mut request, mut number) = (first, 1);
        let mut retrying = None;
        loop {
            // What a try leaves behind must not touch the next.
            let turn = self.exchange.turn(self.service);
            let until = settings.per_try_timeout.map(|limit| Instant::now() + limit);
            let (core, snapshot, service) = (self.core, self.snapshot, self.service);
            let payer = self.payer.clone();
            let answered = guarded(core, snapshot, service, request, &turn, payer, until).await;
            let again = Instant::now() + settings.pause(number + 1, random());
            let may_go_on = number < settings.attempts
                && again < deadline
                && self.is_worth_another(&answered, spare);
            if may_go_on && retrying.is_none() {
                retrying = Retrying::begin(service, self.retry);
            }
            if !may_go_on || retrying.is_none() || !self.exchange.takes_retry(settings.budget_min) {
                if answered.is_ok() {
                    self.exchange.keep(&turn);
                }
                return answered;
            }
            if let Ok(answered) = answered {
                answered.claimant.hang_up();
            }
            sleep_until(again).await;
            service.standing.traffic.tried_again();
            request = request_of(spare);
            number += 1;
        }
    }

    fn is_worth_another(&self, answered: &Result<Answered, Fault>, spare: &Request<()>) -> bool {
        let is_idempotent = self.retry.methods.contains(spare.method().as_str());
        match answered {
            Ok(answered) => {
                let status = answered.response.status().as_u16();
                is_idempotent && self.retry.statuses.contains(&status)
            }
            Err(fault) => {
                let never_begun = matches!(fault.cause, Cause::QueueFull | Cause::NotReady);
                let unobserved = self.retry.retry_unobserved && (fault.unobserved || never_begun);
                (is_idempotent || unobserved) && self.retry.on.contains(&fault.cause)
            }
        }
    }
}

/// A request that is in a further try, as a part of its service's budget.
struct Retrying<'a>(&'a AtomicU32);

impl<'a> Retrying<'a> {
    fn begin(service: &'a Service, retry: &Retry) -> Option<Self> {
        let retrying = &service.standing.guards.retrying;
        let active = u32::try_from(service.standing.traffic.active()).unwrap_or(u32::MAX);
        let more = |now: u32| retry.settings.has_budget(active, now).then_some(now + 1);
        retrying.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self(retrying))
    }
}

impl Drop for Retrying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// From 0 up to 1.
#[allow(clippy::cast_precision_loss, reason = "any number in between will do")]
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(Instant::now()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// One try, if the breaker lets it through.
async fn guarded(
    core: &Arc<Core>,
    snapshot: &Arc<Snapshot>,
    service: &Arc<Service>,
    request: Request<WasiBody>,
    exchange: &Arc<Exchange>,
    payer: Option<Payer>,
    until: Option<Instant>,
) -> Result<Answered, Fault> {
    if service.config.tolerance.health.is_some() && !service.standing.guards.is_healthy() {
        return Err(Fault::new(
            Cause::Unhealthy,
            "its [health] checks fail; see the log",
        ));
    }
    let passing = Passing::begin(&service.standing.guards)?;
    let is_short_of_cpu = payer
        .as_ref()
        .is_some_and(|payer| payer.left() < service.config.limits.cpu);
    let answered = attempt(core, snapshot, service, request, exchange, payer, until).await;
    if let Some(passing) = passing {
        passing.end(match &answered {
            Ok(answered) if answered.response.status().is_server_error() => Outcome::Failure,
            Ok(_) => Outcome::Success,
            // The caller gave it less time than the service allows itself.
            Err(fault) if fault.cause == Cause::CpuDeadline && is_short_of_cpu => Outcome::Ignored,
            Err(fault)
                if fault.cause == Cause::WallDeadline && exchange.is_bound_by_caller(service) =>
            {
                Outcome::Ignored
            }
            Err(fault) if fault.cause.blame() == Blame::Guest => Outcome::Failure,
            Err(_) => Outcome::Ignored,
        });
    }
    answered
}

/// A request that the breaker has let through. One that is given up says nothing about the service.
struct Passing<'a> {
    guards: &'a Guards,
    pass: Pass,
    began: Duration,
    outcome: Outcome,
}

impl<'a> Passing<'a> {
    fn begin(guards: &'a Guards) -> Result<Option<Self>, Fault> {
        let began = guards.start.elapsed();
        let mut breaker = lock(&guards.breaker);
        let Some(breaker) = breaker.as_mut() else {
            return Ok(None);
        };
        let pass = breaker.admit(began).map_err(|refused| {
            let mut fault = Fault::new(
                Cause::BreakerOpen,
                format!("[breaker] is {:?}", breaker.state(began)),
            );
            fault.retry_after = Some(whole_seconds(refused.retry_after));
            fault
        })?;
        Ok(Some(Self {
            guards,
            pass,
            began,
            outcome: Outcome::Ignored,
        }))
    }

    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let now = self.guards.start.elapsed();
        let took = now.saturating_sub(self.began);
        if let Some(breaker) = lock(&self.guards.breaker).as_mut() {
            breaker.record(self.pass, self.outcome, took, now);
        }
    }
}
