//! What has passed: counted without locks on the request path, read by metrics and `skep ls`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;

use super::connections::Connections;
use super::handshakes::Handshakes;
use crate::fault::Cause;

/// Upper bounds of the duration histogram's buckets, in seconds; one more bucket takes the rest.
pub const DURATION_BOUNDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    10.0,
];

const STATUS_MIN: u16 = 100;
const STATUS_MAX: u16 = 599;
const CAUSES: usize = Cause::ALL.len();

/// How often there was each fault.
#[derive(Debug)]
struct Faults([AtomicU64; CAUSES]);

impl Default for Faults {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Faults {
    fn count(&self, cause: Cause) {
        self.0[cause as usize].fetch_add(1, Relaxed);
    }

    fn occurred(&self) -> Vec<(Cause, u64)> {
        let counts = Cause::ALL
            .into_iter()
            .map(|cause| (cause, self.0[cause as usize].load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// Requests of one service since the host started.
#[derive(Debug)]
pub struct Traffic {
    begun: AtomicU64,
    statuses: Box<[AtomicU64]>,
    faults: Faults,
    late_faults: AtomicU64,
    retries: AtomicU64,
    durations: [AtomicU64; DURATION_BOUNDS.len() + 1],
    duration_nanos: AtomicU64,
    bytes: AtomicU64,
    cpu_nanos: Arc<AtomicU64>,
    memory: Arc<AtomicU64>,
}

/// Bytes that an instance holds: a part of its service's sum until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: u64,
    sum: Arc<AtomicU64>,
}

impl Held {
    pub(crate) fn in_sum(sum: Arc<AtomicU64>) -> Self {
        Self { bytes: 0, sum }
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.sum.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn take_back(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.sum.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.take_back(self.bytes);
    }
}

impl Default for Traffic {
    fn default() -> Self {
        let zeros = |count: u16| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            begun: AtomicU64::new(0),
            statuses: zeros(STATUS_MAX - STATUS_MIN + 1),
            faults: Faults::default(),
            late_faults: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            durations: Default::default(),
            duration_nanos: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            cpu_nanos: Arc::default(),
            memory: Arc::default(),
        }
    }
}

impl Traffic {
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(
        &self,
        status: StatusCode,
        cause: Option<Cause>,
        duration: Duration,
        bytes: u64,
    ) {
        let status = status.as_u16().clamp(STATUS_MIN, STATUS_MAX) - STATUS_MIN;
        self.statuses[usize::from(status)].fetch_add(1, Relaxed);
        if let Some(cause) = cause {
            self.faults.count(cause);
        }
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BOUNDS.partition_point(|bound| *bound < seconds);
        self.durations[bucket].fetch_add(1, Relaxed);
        self.duration_nanos.fetch_add(
            u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
            Relaxed,
        );
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// A guest failed after its answer was out.
    pub(crate) fn late(&self, cause: Cause) {
        self.late_faults.fetch_add(1, Relaxed);
        self.faults.count(cause);
    }

    /// A request is tried again.
    pub(crate) fn tried_again(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Further tries of requests.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// A request failed and another service answered it.
    pub(crate) fn covered(&self, cause: Cause) {
        self.faults.count(cause);
    }

    /// Where the nanoseconds of CPU time are added up that the service's instances use.
    pub(crate) fn cpu_total(&self) -> Arc<AtomicU64> {
        self.cpu_nanos.clone()
    }

    /// CPU time of all instances that have ended.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Relaxed))
    }

    /// Where the bytes are added up that the service's instances hold.
    pub(crate) fn memory_sum(&self) -> Arc<AtomicU64> {
        self.memory.clone()
    }

    /// Bytes of linear memory that all instances hold now.
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// Requests that are not over yet, those that wait among them.
    pub fn active(&self) -> u64 {
        // What is over is read first: a request counted as over has been counted as begun.
        let over = self.statuses.iter().map(|count| count.load(Relaxed)).sum();
        self.begun().saturating_sub(over)
    }

    /// The duration that the share `quantile` (0 to 1) of the answers did not pass, estimated as Prometheus does from
    /// the histogram: within a bucket every duration is taken to be as likely as another, and past the last bound it is
    /// that bound. None before the first answer.
    pub fn duration_quantile(&self, quantile: f64) -> Option<Duration> {
        quantile_of(&self.durations(), quantile).map(Duration::from_secs_f64)
    }

    /// Requests that have been routed to the service.
    pub fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Answers by status, those that occurred.
    pub fn statuses(&self) -> Vec<(u16, u64)> {
        let counts = self.statuses.iter().map(|count| count.load(Relaxed));
        (STATUS_MIN..)
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Faults by cause, those that occurred.
    pub fn faults(&self) -> Vec<(Cause, u64)> {
        self.faults.occurred()
    }

    /// Faults that came after the answer was out.
    pub fn late_faults(&self) -> u64 {
        self.late_faults.load(Relaxed)
    }

    /// Answers by duration: how many fell into each bucket of [`DURATION_BOUNDS`] and past the last.
    pub fn durations(&self) -> Vec<u64> {
        self.durations
            .iter()
            .map(|count| count.load(Relaxed))
            .collect()
    }

    /// All durations added up.
    pub fn duration_sum(&self) -> Duration {
        Duration::from_nanos(self.duration_nanos.load(Relaxed))
    }

    /// Bytes of response bodies.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "an estimate: counts past 2^53 may lose their last digits"
)]
fn quantile_of(buckets: &[u64], quantile: f64) -> Option<f64> {
    let total: u64 = buckets.iter().sum();
    let rank = quantile.clamp(0.0, 1.0) * total as f64;
    let (mut below, mut lower) = (0, 0.0);
    for (count, upper) in buckets.iter().zip(DURATION_BOUNDS) {
        if *count > 0 && (below + count) as f64 >= rank {
            return Some(lower + (upper - lower) * (rank - below as f64) / *count as f64);
        }
        (below, lower) = (below + count, upper);
    }
    (total > 0).then_some(lower)
}

/// Requests of the whole host, those that found no service among them.
#[derive(Debug, Default)]
pub struct HostTraffic {
    requests: AtomicU64,
    faults: Faults,
    /// Connections of the gateway.
    pub connections: Connections,
    /// TLS handshakes of the gateway.
    pub handshakes: Arc<Handshakes>,
}

impl HostTraffic {
    pub(crate) fn end(&self, cause: Option<Cause>) {
        self.requests.fetch_add(1, Relaxed);
        if let Some(cause) = cause {
            self.faults.count(cause);
        }
    }

    /// Requests that are over.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Faults by cause, those that occurred.
    pub fn faults(&self) -> Vec<(Cause, u64)> {
        self.faults.occurred()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_counter_of_its_own() {
        let traffic = Traffic::default();
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
            traffic.end(cause.status(), Some(cause), Duration::ZERO, 0);
        }
        assert!(traffic.faults().iter().all(|(_, count)| *count == 1));
        assert_eq!(traffic.faults().len(), CAUSES);
    }

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_reaches() {
        let traffic = Traffic::default();
        for millis in [0, 1, 2, 10_000, 10_001] {
            traffic.end(StatusCode::OK, None, Duration::from_millis(millis), 1);
        }
        let durations = traffic.durations();
        assert_eq!((durations[0], durations[1], durations[2]), (1, 1, 1));
        assert_eq!((durations[15], durations[16]), (1, 1));
        assert_eq!((traffic.bytes(), traffic.statuses()), (5, vec![(200, 5)]));
    }

    #[test]
    fn a_quantile_lies_within_the_bucket_that_holds_its_rank() {
        let traffic = Traffic::default();
        assert_eq!(traffic.duration_quantile(0.99), None);
        for _ in 0..98 {
            traffic.end(StatusCode::OK, None, Duration::from_micros(100), 0);
        }
        for _ in 0..2 {
            traffic.end(StatusCode::OK, None, Duration::from_millis(200), 0);
        }
        let p99 = traffic.duration_quantile(0.99).unwrap();
        assert_eq!(
            p99,
            Duration::from_millis(175),
            "half-way from 0.1 s to 0.25 s"
        );
        assert!(traffic.duration_quantile(0.5).unwrap() < Duration::from_micros(500));
        traffic.end(StatusCode::OK, None, Duration::from_secs(60), 0);
        assert_eq!(
            traffic.duration_quantile(1.0),
            Some(Duration::from_secs(10))
        );
    }

    #[test]
    fn what_an_instance_holds_counts_until_it_is_gone() {
        let traffic = Traffic::default();
        let [mut one, mut other] = [0; 2].map(|_| Held::in_sum(traffic.memory_sum()));
        one.add(100);
        other.add(10);
        one.take_back(1);
        assert_eq!(traffic.memory(), 109);
        drop(one);
        assert_eq!(traffic.memory(), 10);
        other.take_back(11);
        assert_eq!(traffic.memory(), 0, "never more than there is");
    }

    #[test]
    fn a_request_is_active_until_it_is_over() {
        let traffic = Traffic::default();
        traffic.begin();
        traffic.begin();
        traffic.end(StatusCode::OK, None, Duration::ZERO, 0);
        assert_eq!((traffic.begun(), traffic.active()), (2, 1));
    }
}
