//! What goes on on a connection: whether it has a request, since when it has none, and what clients take back.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skep_policy::resets::Resets;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What goes on on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    requests: AtomicUsize,
    resets: Mutex<Resets>,
    abused: Notify,
    /// When the last answer was over, in milliseconds after the connection was opened; 0 until there was one.
    answered: AtomicU64,
}

/// Marks a connection as one that has a request, until the answer's last byte.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            resets: Mutex::default(),
            abused: Notify::new(),
            answered: AtomicU64::new(0),
        })
    }

    pub(super) fn enter(self: &Arc<Self>) -> Busy {
        self.resets().begin(self.opened.elapsed());
        self.requests.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    /// Whether an answer is over.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed) > 0
    }

    /// Whether there is no request.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.load(Acquire) == 0
    }

    fn resets(&self) -> MutexGuard<'_, Resets> {
        self.resets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the client has taken back too many of its requests.
    pub(super) async fn abuse(&self) {
        self.abused.notified().await;
    }

    /// Ends when the connection has had no request, or none whose head is whole, for too long: `first` for the first one,
    /// `between` for later ones.
    pub(super) async fn silence(&self, first: Duration, between: Duration) {
        // The first request may long be over when the first time passes.
        let mut look = self.opened + first.min(between);
        loop {
            sleep_until(look).await;
            let now = Instant::now();
            // Before the time of the last answer, which is noted first.
            let has_request = !self.is_idle();
            let over = match self.answered.load(Relaxed) {
                0 => self.opened + first,
                answered => self.opened + Duration::from_millis(answered) + between,
            };
            if over <= now && !has_request {
                return;
            }
            look = if has_request {
                now + between
            } else {
                over.min(now + between)
            };
        }
    }
}

impl Busy {
    /// The client has taken the request back, so long after it came.
    pub(crate) fn taken_back(&self, after: Duration) {
        let now = self.0.opened.elapsed();
        if self.0.resets().taken_back(after, now) {
            self.0.abused.notify_one();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let after = self.0.opened.elapsed().as_millis();
        let after = u64::try_from(after).unwrap_or(u64::MAX).max(1);
        self.0.answered.store(after, Relaxed);
        self.0.requests.fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use skep_policy::resets;

    const FIRST: Duration = Duration::from_secs(10);
    const BETWEEN: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_silent_after_the_first_time() {
        let activity = Activity::new();
        let start = Instant::now();
        activity.silence(FIRST, BETWEEN).await;
        assert_eq!(start.elapsed(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_however_long_is_no_silence_and_what_follows_it_is() {
        let activity = Activity::new();
        let mut silence = std::pin::pin!(activity.silence(FIRST, BETWEEN));
        let busy = activity.enter();
        assert!(silence.as_mut().now_or_never().is_none());
        tokio::time::advance(10 * BETWEEN).await;
        assert!(silence.as_mut().now_or_never().is_none());
        drop(busy);
        let over = Instant::now();
        silence.await;
        assert!(over.elapsed() >= BETWEEN && over.elapsed() <= 2 * BETWEEN);
    }

    #[test]
    fn requests_that_are_taken_back_late_are_no_abuse() {
        for (after, expected) in [
            (resets::PREMATURE, true),
            (resets::PREMATURE + Duration::from_millis(1), false),
        ] {
            let activity = Activity::new();
            for _ in 0..=resets::PREMATURE_MAX {
                assert!(activity.abuse().now_or_never().is_none());
                activity.enter().taken_back(after);
            }
            assert_eq!(activity.abuse().now_or_never().is_some(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_request_the_first_time_counts_no_more_even_if_it_is_the_longer_one() {
        let activity = Activity::new();
        let mut silence = std::pin::pin!(activity.silence(BETWEEN, FIRST));
        assert!(silence.as_mut().now_or_never().is_none());
        let over = Instant::now();
        drop(activity.enter());
        silence.await;
        assert!(over.elapsed() >= FIRST && over.elapsed() <= 2 * FIRST);
        let start = Instant::now();
        Activity::new().silence(BETWEEN, FIRST).await;
        assert_eq!(start.elapsed(), BETWEEN);
    }
}
