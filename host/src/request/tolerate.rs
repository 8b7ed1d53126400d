//! What a manifest wants done about faults: requests that are too many are refused, a service that fails is given a rest,
//! what failed is tried again, and another answers in its place.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use skep_policy::breaker::{self, Breaker, Outcome, Pass};
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
    retrying: AtomicU32,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            breaker: Mutex::default(),
            limiter: Mutex::default(),
            retrying: AtomicU32::new(0),
        }
    }
}

impl Guards {
    /// What is configured otherwise than before starts afresh.
    pub(crate) fn configure(&self, tolerance: &Tolerance) {
        let mut breaker = lock(&self.breaker);
        if breaker.as_ref().map(Breaker::settings) != tolerance.breaker.as_ref() {
            *breaker = tolerance.breaker.clone().map(Breaker::new);
        }
        let mut limiter = lock(&self.limiter);
        let settings = tolerance.rate_limit.as_ref().map(|limit| &limit.settings);
        if limiter.as_ref().map(Limiter::settings) != settings {
            *limiter = settings.cloned().map(Limiter::new);
        }
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
            exchange.as_in(&turn);
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
    let turn = exchange.turn(other);
    let request = request_of(&spare);
    match attempt(core, snapshot, other, request, &turn, payer, None).await {
        Ok(mut answered) => {
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
    let key = match (&limit.key, caller) {
        (RateKey::All, _) => None,
        (RateKey::Client, Some(caller)) => Some(caller.service.as_str().as_bytes()),
        (RateKey::Client, None) => request
            .headers()
            .get(FORWARDED_FOR)
            .map(|value| value.as_bytes()),
        (RateKey::Header(name), _) => request.headers().get(name).map(|value| value.as_bytes()),
    };
    let Some(verdict) = lock(&guards.limiter)
        .as_mut()
        .map(|limiter| limiter.take((caller.is_some(), key), now))
    else {
        return Ok(());
    };
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
            let payer = self.payer.clone();
            let answered = guarded(
                self.core,
                self.snapshot,
                self.service,
                request,
                &turn,
                payer,
                until,
            )
            .await;
            self.exchange.as_in(&turn);
            let is_last = number == settings.attempts;
            if is_last || !self.is_worth_another(&answered, spare) {
                return answered;
            }
            let again = Instant::now() + settings.pause(number + 1, random());
            retrying =
                retrying.or_else(|| Retrying::begin(self.service, self.exchange, self.retry));
            if retrying.is_none() || again >= deadline {
                return answered;
            }
            if let Ok(answered) = answered {
                answered.claimant.hang_up();
            }
            sleep_until(again).await;
            self.service.standing.traffic.tried_again();
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
                let never_begun = fault.cause.blame() != Blame::Guest;
                let unobserved = self.retry.retry_unobserved && (fault.unobserved || never_begun);
                (is_idempotent || unobserved) && self.retry.on.contains(&fault.cause)
            }
        }
    }
}

/// A request that is in a further try: a part of its service's budget, and of that of the request from outside.
struct Retrying<'a>(&'a AtomicU32);

impl<'a> Retrying<'a> {
    fn begin(service: &'a Service, exchange: &Exchange, retry: &Retry) -> Option<Self> {
        let guards = &service.standing.guards;
        let active = u32::try_from(service.standing.traffic.active()).unwrap_or(u32::MAX);
        let fits = |retrying: u32| {
            retry
                .settings
                .has_budget(active, retrying)
                .then_some(retrying + 1)
        };
        let within_tree = exchange.takes_retry(retry.settings.budget_min);
        if !within_tree
            || guards
                .retrying
                .fetch_update(Relaxed, Relaxed, fits)
                .is_err()
        {
            return None;
        }
        Some(Self(&guards.retrying))
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
    let passing = Passing::begin(&service.standing.guards)?;
    let answered = attempt(core, snapshot, service, request, exchange, payer, until).await;
    if let Some(passing) = passing {
        passing.end(match &answered {
            Ok(answered) if answered.response.status().is_server_error() => Outcome::Failure,
            Ok(_) => Outcome::Success,
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
