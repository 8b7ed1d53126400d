//! How TLS handshakes ended: counted as they do, read by metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The connection is there.
    Ok,
    /// One side refused the other, or what came was no TLS.
    Failed,
    /// The client took too long.
    TimedOut,
    /// The client went away.
    Disconnected,
}

/// Handshakes since the host started.
#[derive(Debug, Default)]
pub struct Handshakes([AtomicU64; Outcome::ALL.len()]);

impl Outcome {
    /// In the order of their counters.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Failed, Self::TimedOut, Self::Disconnected];

    /// As logs and metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Disconnected => "disconnected",
        }
    }
}

impl Handshakes {
    pub(crate) fn end(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Each outcome and how often it was one.
    pub fn counts(&self) -> [(Outcome, u64); Outcome::ALL.len()] {
        Outcome::ALL.map(|outcome| (outcome, self.0[outcome as usize].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_counter_of_its_own() {
        let handshakes = Handshakes::default();
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
            handshakes.end(outcome);
        }
        assert_eq!(
            handshakes.counts(),
            Outcome::ALL.map(|outcome| (outcome, 1))
        );
    }
}
