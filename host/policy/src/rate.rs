//! How many requests a client may send: a bucket of tokens for each, refilled at a steady rate.
//!
//! Time is an argument, counted from any fixed moment.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Keys that are remembered. Past that the ones with full buckets are forgotten, which changes nothing for them.
const KEYS_MAX: usize = 65_536;

/// The size of each bucket and how fast it fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The time in which a token comes in; not zero.
    pub interval: Duration,
    /// Tokens that a full bucket holds; not zero.
    pub burst: u32,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may pass.
    pub passes: bool,
    /// Whole tokens that are left.
    pub remaining: u32,
    /// Until there is a token, if there is none.
    pub retry_after: Duration,
}

/// The buckets of all keys.
#[derive(Debug)]
pub struct Limiter {
    settings: Settings,
    hasher: RandomState,
    /// When each bucket will be full, by the key's hash.
    full_at: HashMap<u64, Duration>,
}

impl Limiter {
    /// Full buckets for all.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            hasher: RandomState::new(),
            full_at: HashMap::new(),
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes a token of the key's bucket, if there is one.
    pub fn take(&mut self, key: impl Hash, now: Duration) -> Verdict {
        let key = self.hasher.hash_one(key);
        if self.full_at.len() >= KEYS_MAX && !self.full_at.contains_key(&key) {
            self.forget(now);
        }
        let Settings { interval, burst } = self.settings;
        let full_at = self.full_at.get(&key).copied().unwrap_or(now).max(now);
        // With one token the bucket is so far from full.
        let one_left = interval.saturating_mul(burst - 1);
        let retry_after = (full_at - now).saturating_sub(one_left);
        let passes = retry_after.is_zero();
        let full_at = if passes {
            full_at.saturating_add(interval)
        } else {
            full_at
        };
        if passes {
            self.full_at.insert(key, full_at);
        }
        let missing = (full_at - now).as_nanos().div_ceil(interval.as_nanos());
        Verdict {
            passes,
            remaining: burst.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX)),
            retry_after,
        }
    }

    /// Forgets full buckets; if that are few, all: better too many requests for a moment than no end of memory or work.
    fn forget(&mut self, now: Duration) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() > KEYS_MAX / 2 {
            self.full_at.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limiter(interval: Duration, burst: u32) -> Limiter {
        Limiter::new(Settings { interval, burst })
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_passes_and_then_as_much_as_comes_in() {
        let mut limiter = limiter(at(500), 3);
        for remaining in [2, 1, 0] {
            let verdict = limiter.take("a", at(0));
            assert_eq!((verdict.passes, verdict.remaining), (true, remaining));
        }
        let refused = limiter.take("a", at(100));
        assert!(!refused.passes);
        assert_eq!(refused.retry_after, at(400));
        assert!(limiter.take("a", at(500)).passes);
        assert!(!limiter.take("a", at(999)).passes);
        assert!(limiter.take("a", at(1000)).passes);
    }

    #[test]
    fn keys_have_buckets_of_their_own() {
        let mut limiter = limiter(at(1000), 1);
        assert!(limiter.take("a", at(0)).passes);
        assert!(!limiter.take("a", at(0)).passes);
        assert!(limiter.take("b", at(0)).passes);
    }

    #[test]
    fn many_keys_take_bounded_room_and_the_busy_ones_are_remembered() {
        let mut limiter = limiter(at(1000), 2);
        for _ in 0..2 {
            limiter.take("busy", at(0));
        }
        for key in 0..KEYS_MAX as u64 * 2 {
            limiter.take(key, at(key / 100));
        }
        assert!(limiter.full_at.len() <= KEYS_MAX);
        let mut limiter = self::limiter(at(1_000_000), 1);
        assert!(limiter.take("busy", at(0)).passes);
        for key in 0..KEYS_MAX as u64 - 10 {
            limiter.take(key, at(1));
        }
        assert!(!limiter.take("busy", at(2)).passes);
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_than_a_burst_and_what_came_in(
            interval in 1..10_000u64,
            burst in 1..20u32,
            pauses in proptest::collection::vec(0..500u64, 1..200),
        ) {
            let mut limiter = limiter(at(interval), burst);
            let mut now = 0;
            let mut passed = Vec::new();
            for pause in pauses {
                now += pause;
                if limiter.take("a", at(now)).passes {
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = u64::from(burst) + (to - from) / interval;
                    let count = (last - first + 1) as u64;
                    prop_assert!(count <= most, "{count} in {} ms", to - from);
                }
            }
        }

        #[test]
        fn who_waits_as_long_as_told_passes(interval in 1..10_000u64, burst in 1..20u32) {
            let mut limiter = limiter(at(interval), burst);
            for _ in 0..burst {
                prop_assert!(limiter.take("a", at(7)).passes);
            }
            let refused = limiter.take("a", at(7));
            prop_assert!(!refused.passes);
            prop_assert!(limiter.take("a", at(7) + refused.retry_after).passes);
        }
    }
}
