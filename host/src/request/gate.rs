//! Admission: how many requests a service works on, and how many wait.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_policy::adaptive::Gradient;
use skep_policy::limits::Limits;
use tokio::time::{Instant, timeout_at};

use super::random;
use crate::fault::{Cause, Fault};
use crate::pool::{Permit, Permits, Stock};

/// One service's concurrency limit and bounded queue.
#[derive(Debug)]
pub struct Gate {
    permits: Arc<Permits>,
    /// Of requests that have no answer yet, where their number is adapted: one that streams its answer says nothing any
    /// more of how crowded the service is.
    unanswered: Arc<Permits>,
    waiting: AtomicU32,
    queue: AtomicU32,
    /// What the adaptive limit's time is counted from.
    start: Instant,
    adaptive: Mutex<Option<Gradient>>,
    is_adaptive: AtomicBool,
}

/// The right to be worked on. Held until the guest is done with the request.
#[derive(Debug)]
pub struct Slot {
    _permit: Permit,
}

/// A request's part in what an adaptive limit is found out from. Given back when it is answered.
#[derive(Debug)]
pub(crate) struct Sample {
    began: Instant,
    _permit: Permit,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// Lets nobody through until it is sized.
    #[must_use]
    pub fn new() -> Self {
        Self {
            permits: Permits::of(&Stock::endless()),
            unanswered: Permits::of(&Stock::endless()),
            waiting: AtomicU32::new(0),
            queue: AtomicU32::new(0),
            start: Instant::now(),
            adaptive: Mutex::default(),
            is_adaptive: AtomicBool::new(false),
        }
    }

    /// As many requests at once, and as many waiting, as the limits say.
    pub fn configure(&self, limits: &Limits) {
        self.queue.store(limits.queue, Relaxed);
        let mut adaptive = self.adaptive();
        self.is_adaptive.store(limits.adaptive, Relaxed);
        let most = limits.concurrency;
        if !limits.adaptive {
            *adaptive = None;
        } else if adaptive.as_ref().map(Gradient::max) != Some(most) {
            *adaptive = Some(Gradient::new(most));
        }
        self.permits.resize(most);
        let limit = adaptive.as_ref().map_or(0, Gradient::limit);
        self.unanswered.resize(limit);
    }

    /// Waits until the adaptive limit, if there is one, has room for a request.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub(crate) async fn sample(&self, deadline: Instant) -> Result<Option<Sample>, Fault> {
        if !self.is_adaptive.load(Relaxed) {
            return Ok(None);
        }
        let permit = self.wait_for(&self.unanswered, deadline).await?;
        Ok(Some(Sample {
            began: Instant::now(),
            _permit: permit,
        }))
    }

    /// The guest has answered.
    pub(crate) fn answered(&self, sample: Option<Sample>) {
        let Some(Sample { began, _permit }) = sample else {
            return;
        };
        let now = self.start.elapsed();
        let began = began.saturating_duration_since(self.start);
        let mut adaptive = self.adaptive();
        let limit = adaptive.as_mut();
        if let Some(limit) = limit.and_then(|limit| limit.note(began, now, random())) {
            self.unanswered.resize(limit);
        }
    }

    /// How many requests there may be at once, if that is found out.
    pub(crate) fn adaptive_limit(&self) -> Option<u32> {
        self.adaptive().as_ref().map(Gradient::limit)
    }

    fn adaptive(&self) -> MutexGuard<'_, Option<Gradient>> {
        self.adaptive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot that is free now.
    ///
    /// # Errors
    /// [`Cause::QueueFull`] when there is none.
    pub fn admit_at_once(&self) -> Result<Slot, Fault> {
        let permit = self.permits.try_acquire(1).ok_or_else(|| {
            Fault::new(
                Cause::QueueFull,
                "the service works on as many requests as [limits] concurrency allows, and this call comes of one of them",
            )
        })?;
        Ok(Slot { _permit: permit })
    }

    /// Waits for a slot, in order of arrival, until `deadline`.
    ///
    /// # Errors
    /// [`Cause::QueueFull`] at once when too many wait already; [`Cause::WallDeadline`] when the wait was too long.
    pub async fn admit(&self, deadline: Instant) -> Result<Slot, Fault> {
        let permit = self.wait_for(&self.permits, deadline).await?;
        Ok(Slot { _permit: permit })
    }

    async fn wait_for(&self, permits: &Arc<Permits>, deadline: Instant) -> Result<Permit, Fault> {
        if let Some(permit) = permits.try_acquire(1) {
            return Ok(permit);
        }
        let Some(_place) = Place::take(&self.waiting, self.queue.load(Relaxed)) else {
            let waiting = self.waiting.load(Relaxed);
            return Err(Fault::new(
                Cause::QueueFull,
                format!("{waiting} requests wait already; [limits] queue allows no more"),
            ));
        };
        match timeout_at(deadline, permits.acquire(1)).await {
            Ok(Some(permit)) => Ok(permit),
            Ok(None) => Err(Fault::new(
                Cause::HostFailed,
                "the gate's semaphore is closed",
            )),
            Err(_) => Err(Fault::new(
                Cause::WallDeadline,
                "[limits] timeout passed while the request waited for its turn",
            )),
        }
    }

    /// Requests being worked on, and requests waiting.
    pub(crate) fn load(&self) -> (u32, u32) {
        (self.permits.held(), self.waiting.load(Relaxed))
    }
}

struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicU32, limit: u32) -> Option<Self> {
        waiting
            .fetch_update(Relaxed, Relaxed, |now| (now < limit).then_some(now + 1))
            .ok()
            .map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::time::Duration;

    fn gate(concurrency: u32, queue: u32) -> Gate {
        let gate = Gate::new();
        gate.configure(&Limits {
            concurrency,
            queue,
            ..Limits::default()
        });
        gate
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn past_the_queue_requests_are_refused_at_once() {
        let gate = gate(1, 1);
        let held = gate.admit(later()).await.unwrap();
        let mut waits = std::pin::pin!(gate.admit(later()));
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(gate.load(), (1, 1));
        assert_eq!(
            gate.admit(later())
                .now_or_never()
                .unwrap()
                .unwrap_err()
                .cause,
            Cause::QueueFull
        );
        drop(held);
        waits.await.unwrap();
        assert_eq!(gate.load(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_the_deadline_and_leaves_its_place() {
        let gate = gate(1, 1);
        let _held = gate.admit(later()).await.unwrap();
        assert_eq!(
            gate.admit(later()).await.unwrap_err().cause,
            Cause::WallDeadline
        );
        assert_eq!(gate.load(), (1, 0));
    }
}
