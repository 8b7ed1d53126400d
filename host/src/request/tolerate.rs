//! What manifests want done about faults: requests that are too many are refused, a service that fails is given a rest,
//! what failed is tried again, and another answers in its place.

use std::pin::Pin;
use std::time::Duration;

use http::Request;
use skep_policy::breaker::Outcome;
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;

use self::again::{Tries, request_of, spare};
use self::guards::Passing;
use self::rate::Subject;
use super::choose;
use super::exchange::Exchange;
use super::headers;
use super::run::Answered;
use super::run::functions::Invocation;
use super::visit::Visit;
use crate::config::service::tolerance::{FallbackAnswer, Tolerance};
use crate::fault::{Blame, Cause, Fault};
use crate::telemetry::edges::Edge;
use crate::telemetry::traffic::Traffic;

pub(crate) use self::guards::Guards;

mod again;
mod guards;
pub(crate) mod rate;

/// Rules between a request and what answers it: those of a service for all who ask it, or of one of its callers.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) tolerance: &'a Tolerance,
    pub(super) guards: &'a Guards,
    /// The requests that the rules are about.
    pub(super) traffic: &'a Traffic,
    /// Where the requests are counted, if so many may be under way.
    pub(super) places: Option<(&'a Edge, u32)>,
    /// Longest time for all tries, if less than the request has left.
    pub(super) timeout: Option<Duration>,
    pub(super) below: Below,
}

/// What is below a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// The service's own rules.
    Service,
    /// A guest.
    Guest,
}

impl<'a> Layer<'a> {
    /// As [`Self::reach`]: its future is large, most requests need none, and one layer may lie on another.
    pub(super) fn boxed(
        self,
        visit: Visit<'a>,
        request: Request<WasiBody>,
    ) -> Pin<Box<dyn Future<Output = Result<Answered, Fault>> + Send + 'a>> {
        Box::pin(self.reach(visit, request))
    }

    /// Has the service answer by these rules.
    ///
    /// # Errors
    /// Why there is no answer, also not in the service's place.
    async fn reach(self, visit: Visit<'_>, request: Request<WasiBody>) -> Result<Answered, Fault> {
        let Self { tolerance, .. } = self;
        let exchange = visit.exchange;
        if let Some(limit) = &tolerance.rate_limit
            && let Some(verdict) = self
                .guards
                .take(Subject::of(&limit.key, &request, exchange))
        {
            let policy = headers::quota_policy(&limit.settings);
            rate::obey(verdict, limit, policy, exchange)?;
        }
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let spare = spare(&request);
        let answered = match (&tolerance.retry, &spare) {
            _ if let Err(full) = self.take_place(exchange) => Err(full),
            (Some(retry), Some(spare)) => {
                let tries = Tries {
                    layer: self,
                    visit,
                    retry,
                    deadline,
                };
                tries.run(request, spare).await
            }
            _ => {
                // What another service then answers has nothing to do with how this one failed.
                let turn = match &spare {
                    Some(_) if tolerance.fallback.is_some() => exchange.turn(visit.service),
                    _ => exchange.clone(),
                };
                let answered = self.guarded(visit.in_turn(&turn), request, deadline).await;
                exchange.tried_as(&turn);
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
        let fallback = tolerance.fallback.as_ref();
        let fallback = fallback.filter(|fallback| fallback.on.contains(&fault.cause));
        // Another service need not have the function that is called.
        let spare = spare.filter(|spare| Invocation::of(spare).is_none());
        match (fallback.map(|fallback| &fallback.answer), spare) {
            (Some(FallbackAnswer::Service(name)), Some(spare)) => {
                let Some(other) = visit.snapshot.services.get(name) else {
                    return Err(fault);
                };
                let other = choose::view(other, &exchange.journey, &exchange.id);
                if Instant::now() >= visit.of(other).deadline() {
                    return Err(fault);
                }
                let turn = exchange.turn(other);
                let other = visit.of(other).in_turn(&turn);
                let answered = other.attempt(request_of(&spare)).await;
                exchange.acted_as(&turn);
                match answered {
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
            _ => Err(fault),
        }
    }

    /// Takes one of the places for requests that are under way, if they are counted.
    fn take_place(self, exchange: &Exchange) -> Result<(), Fault> {
        let Some((edge, most)) = self.places else {
            return Ok(());
        };
        exchange.take_place(edge, most)
    }

    /// One try, `until` then, if the breaker lets it through.
    async fn guarded(
        self,
        visit: Visit<'_>,
        request: Request<WasiBody>,
        until: Option<Instant>,
    ) -> Result<Answered, Fault> {
        // How a candidate does is its rollout's to judge, and no reason to refuse what the running revision would answer.
        let is_judged_here = self.below == Below::Service || !visit.service.is_candidate();
        if is_judged_here && self.tolerance.health.is_some() && !self.guards.is_healthy() {
            return Err(Fault::new(
                Cause::Unhealthy,
                "its [health] checks fail; see the log",
            ));
        }
        let passing = match is_judged_here {
            true => Passing::begin(self.guards)?,
            false => None,
        };
        let is_short_of_cpu = visit.is_short_of_cpu();
        let inner = visit.until(until);
        let answered = match self.below {
            Below::Service => inner.reach(request).await,
            Below::Guest => inner.attempt(request).await,
        };
        if let Some(passing) = passing {
            passing.end(match &answered {
                Ok(answered) if answered.response.status().is_server_error() => Outcome::Failure,
                Ok(_) => Outcome::Success,
                // The caller gave it less time than the service allows itself.
                Err(fault) => match fault.cause {
                    Cause::CpuDeadline if is_short_of_cpu => Outcome::Ignored,
                    Cause::WallDeadline if visit.is_hurried() => Outcome::Ignored,
                    Cause::CalleeFailed if is_short_of_cpu || visit.is_hurried() => {
                        Outcome::Ignored
                    }
                    cause if cause.blame() == Blame::Guest => Outcome::Failure,
                    _ => Outcome::Ignored,
                },
            });
        }
        answered
    }
}

/// Seconds, rounded up; at least one.
pub(super) fn whole_seconds(time: Duration) -> u32 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}
