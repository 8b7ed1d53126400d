//! How one revision does, while it is compared with another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use skep_policy::rollout::Sample;

use crate::fault::{Blame, Cause};

/// Buckets for each doubling of a duration: a quantile is off by at most an eighth.
const PARTS: u64 = 8;
/// The doublings from a microsecond up to an hour.
const DOUBLINGS: u64 = 32;

/// Counts since it was made or last begun anew.
#[derive(Debug)]
pub(crate) struct Tally {
    requests: AtomicU64,
    errors: AtomicU64,
    faults: AtomicU64,
    mirrored: AtomicU64,
    differing: AtomicU64,
    durations: Box<[AtomicU64]>,
    /// What the revision had used when this was begun.
    cpu_before: AtomicU64,
}

/// What a revision's instances have used in all.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Nanoseconds of CPU time, of instances that have ended.
    cpu: AtomicU64,
    /// The most bytes that one of them had.
    pub(crate) memory_peak: Arc<AtomicU64>,
}

impl Usage {
    /// An instance has ended.
    pub(crate) fn add(&self, cpu: Duration) {
        let nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.cpu.fetch_add(nanos, Relaxed);
    }

    /// Takes in what others have used.
    pub(crate) fn include(&self, other: &Self) {
        self.cpu.fetch_add(other.cpu.load(Relaxed), Relaxed);
        let peak = other.memory_peak.load(Relaxed);
        self.memory_peak.fetch_max(peak, Relaxed);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            mirrored: AtomicU64::new(0),
            differing: AtomicU64::new(0),
            durations: (0..PARTS * DOUBLINGS).map(|_| AtomicU64::new(0)).collect(),
            cpu_before: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// A request is over. One that failed by its caller's or the host's fault says nothing of the revision, nor does one
    /// that it was spared.
    pub(crate) fn end(&self, status: StatusCode, cause: Option<Cause>, duration: Duration) {
        if self.count(status, cause)
            && let Some(bucket) = self.durations.get(bucket(duration))
        {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// As [`Tally::end`] of a request that nobody waited for: how long it took says nothing.
    pub(crate) fn count(&self, status: StatusCode, cause: Option<Cause>) -> bool {
        let blame = cause.map(Cause::blame);
        let was_spared = matches!(cause, Some(Cause::BreakerOpen | Cause::Unhealthy));
        if was_spared || matches!(blame, Some(Blame::Caller | Blame::Host)) {
            return false;
        }
        self.requests.fetch_add(1, Relaxed);
        if blame == Some(Blame::Guest) {
            self.faults.fetch_add(1, Relaxed);
        }
        if status.is_server_error() || cause.is_some() {
            self.errors.fetch_add(1, Relaxed);
        }
        true
    }

    /// A request was answered whose answer nobody gets.
    pub(crate) fn mirrored(&self, differs: bool) {
        self.mirrored.fetch_add(1, Relaxed);
        self.differing.fetch_add(u64::from(differs), Relaxed);
    }

    /// Begins anew. What ends meanwhile may count half: one request in thousands.
    pub(crate) fn begin_anew(&self, usage: &Usage) {
        let mirrored = [&self.mirrored, &self.differing];
        for counter in [&self.requests, &self.errors, &self.faults]
            .into_iter()
            .chain(mirrored)
        {
            counter.store(0, Relaxed);
        }
        for count in &self.durations {
            count.store(0, Relaxed);
        }
        self.cpu_before.store(usage.cpu.load(Relaxed), Relaxed);
    }

    /// What was seen so far.
    pub(crate) fn sample(&self, usage: &Usage) -> Sample {
        let counts: Vec<u64> = self
            .durations
            .iter()
            .map(|count| count.load(Relaxed))
            .collect();
        let cpu = usage
            .cpu
            .load(Relaxed)
            .saturating_sub(self.cpu_before.load(Relaxed));
        Sample {
            requests: self.requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
            faults: self.faults.load(Relaxed),
            p50: quantile(&counts, 50),
            p90: quantile(&counts, 90),
            p99: quantile(&counts, 99),
            cpu: Duration::from_nanos(cpu),
            memory_peak: usage.memory_peak.load(Relaxed),
            mirrored: self.mirrored.load(Relaxed),
            differing: self.differing.load(Relaxed),
        }
    }
}

/// Of a duration in microseconds: the doubling it is in, and the part of that.
fn bucket(duration: Duration) -> usize {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let micros = micros.clamp(1, (1 << DOUBLINGS) - 1);
    let doubling = u64::from(micros.ilog2());
    let part = ((micros - (1 << doubling)) * PARTS) >> doubling;
    usize::try_from(doubling * PARTS + part).unwrap_or(usize::MAX)
}

/// The upper bound of the bucket that holds the duration which so many percent did not pass.
fn quantile(counts: &[u64], percent: u64) -> Option<Duration> {
    let total: u64 = counts.iter().sum();
    let rank = (total * percent).div_ceil(100).max(1);
    let mut below = 0;
    for (bucket, count) in (0..).zip(counts) {
        below += count;
        if below >= rank {
            let (doubling, part) = (bucket / PARTS, bucket % PARTS);
            let upper = (1_u64 << doubling) + (((part + 1) << doubling) / PARTS);
            return Some(Duration::from_micros(upper));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_off_by_an_eighth_at_most() {
        for micros in (0..5_000).chain((1..60).map(|seconds| seconds * 1_000_000)) {
            let tally = Tally::default();
            let duration = Duration::from_micros(micros);
            tally.end(StatusCode::OK, None, duration);
            let found = tally.sample(&Usage::default()).p99.unwrap();
            let most = duration.mul_f64(1.125) + Duration::from_micros(2);
            assert!(found >= duration && found <= most, "{duration:?} {found:?}");
        }
    }

    #[test]
    fn what_callers_do_wrong_says_nothing_of_a_revision() {
        let tally = Tally::default();
        tally.end(StatusCode::NOT_FOUND, None, Duration::ZERO);
        tally.end(StatusCode::INTERNAL_SERVER_ERROR, None, Duration::ZERO);
        for cause in [
            Cause::GuestTrapped,
            Cause::QueueFull,
            Cause::PoolExhausted,
            Cause::BreakerOpen,
        ] {
            tally.end(cause.status(), Some(cause), Duration::ZERO);
        }
        let usage = Usage::default();
        let sample = tally.sample(&usage);
        assert_eq!((sample.requests, sample.errors, sample.faults), (3, 2, 1));
        tally.begin_anew(&usage);
        assert_eq!(tally.sample(&usage), Sample::default());
        assert!(tally.count(StatusCode::OK, None));
        let sample = tally.sample(&usage);
        assert_eq!((sample.requests, sample.p99), (1, None));
    }
}
