//! What rules about faults remember from request to request, and from revision to revision.

use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skep_policy::breaker::{self, Breaker, Outcome, Pass};
use skep_policy::health::{self, Health};
use skep_policy::rate::{Limiter, Verdict};
use tokio::time::Instant;

use super::whole_seconds;
use crate::config::service::tolerance::Tolerance;
use crate::fault::{Cause, Fault};

/// The states of one service's rules, or of those for one service's calls to another.
#[derive(Debug)]
pub(crate) struct Guards {
    /// What the policies' time is counted from.
    start: Instant,
    breaker: Mutex<Option<Breaker>>,
    limiter: Mutex<Option<Limiter>>,
    health: Mutex<Health>,
    /// Requests that are in a further try.
    pub(super) retrying: AtomicU32,
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

    /// Counts a request of `key` against the limit, if there is one.
    pub(super) fn take(&self, key: impl std::hash::Hash) -> Option<Verdict> {
        let now = self.start.elapsed();
        lock(&self.limiter)
            .as_mut()
            .map(|limiter| limiter.take(key, now))
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

/// A request that the breaker has let through. One that is given up says nothing about the service.
pub(super) struct Passing<'a> {
    guards: &'a Guards,
    pass: Pass,
    began: Duration,
    outcome: Outcome,
}

impl<'a> Passing<'a> {
    pub(super) fn begin(guards: &'a Guards) -> Result<Option<Self>, Fault> {
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

    pub(super) fn end(mut self, outcome: Outcome) {
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
