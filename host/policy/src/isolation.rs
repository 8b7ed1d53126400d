//! How far requests share instances: a service whose instances fail gets a fresh one for each request, for a while.

use std::time::Duration;

/// Longest time for which instances are fresh, in multiples of the shortest.
const TIMES_MAX: u32 = 10;

/// Whether instances are used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepDown {
    /// Until then instances are fresh.
    until: Duration,
    /// How long that was, in multiples of the shortest.
    times: u32,
}

impl StepDown {
    /// An instance that served several requests failed at `now`; the first time costs `base`. Whether this begins a time
    /// of fresh instances: what fails during one does not lengthen it, and what fails soon after one has a longer one.
    pub fn failed(&mut self, now: Duration, base: Duration) -> bool {
        if self.is_down(now) {
            return false;
        }
        let last = base * self.times;
        let soon_after = self.times > 0 && now < self.until + last;
        self.times = if soon_after {
            (self.times + 1).min(TIMES_MAX)
        } else {
            1
        };
        self.until = now + base * self.times;
        true
    }

    /// Whether instances are fresh at `now`.
    pub fn is_down(&self, now: Duration) -> bool {
        now < self.until
    }

    /// When instances are used again.
    pub fn until(&self) -> Duration {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_failure_costs_a_while_and_the_next_soon_after_a_longer_one() {
        let mut state = StepDown::default();
        assert!(!state.is_down(at(0)));
        assert!(state.failed(at(100), BASE));
        assert!(state.is_down(at(129)) && !state.is_down(at(130)));
        assert!(!state.failed(at(110), BASE), "one is under way");
        assert!(!state.is_down(at(130)), "and not longer for it");
        assert!(state.failed(at(159), BASE));
        assert!(state.is_down(at(218)) && !state.is_down(at(219)));
        // As long without a failure as the last time took, and it begins anew.
        assert!(state.failed(at(279), BASE));
        assert_eq!(state.until(), at(309));
    }

    proptest! {
        #[test]
        fn it_always_ends(failures in proptest::collection::vec(0..200u64, 1..50)) {
            let (mut state, mut now) = (StepDown::default(), Duration::ZERO);
            for pause in failures {
                now += at(pause);
                state.failed(now, BASE);
                prop_assert!(state.is_down(now));
                prop_assert!(state.until() <= now + BASE * TIMES_MAX);
            }
            prop_assert!(!state.is_down(now + BASE * TIMES_MAX));
        }
    }
}
