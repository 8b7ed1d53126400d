//! Whether a client asks only to take it back: each request costs it a few bytes and the host a guest's beginning
//! (CVE-2023-44487).

use std::time::Duration;

/// A request that is taken back within this time was hardly meant.
pub const PREMATURE: Duration = Duration::from_secs(1);
/// So many of late may happen to a client in good faith.
pub const PREMATURE_MAX: u64 = 500;
/// What was counted before counts half after this time, so that a long life is no fault.
pub const HALF_LIFE: Duration = Duration::from_secs(60);

/// The requests of one connection. Times are counted from any one moment.
#[derive(Debug, Default)]
pub struct Resets {
    begun: u64,
    premature: u64,
    /// When the counts were last halved.
    halved: Duration,
}

impl Resets {
    /// A request has begun.
    pub fn begin(&mut self, now: Duration) {
        self.forget(now);
        self.begun = self.begun.saturating_add(1);
    }

    /// A request was taken back so long `after` it came. Whether the connection is not to go on: such requests are many,
    /// and they are most.
    #[must_use]
    pub fn taken_back(&mut self, after: Duration, now: Duration) -> bool {
        if after > PREMATURE {
            return false;
        }
        self.forget(now);
        self.premature = self.premature.saturating_add(1);
        self.premature > PREMATURE_MAX && self.premature > self.begun / 2
    }

    fn forget(&mut self, now: Duration) {
        let Some(since) = now
            .checked_sub(self.halved)
            .filter(|since| *since >= HALF_LIFE)
        else {
            return;
        };
        let times = since.as_secs() / HALF_LIFE.as_secs();
        let halve = |count: u64| {
            u32::try_from(times)
                .ok()
                .and_then(|times| count.checked_shr(times))
        };
        self.begun = halve(self.begun).unwrap_or(0);
        self.premature = halve(self.premature).unwrap_or(0);
        self.halved = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the last of so many is abuse, all at once.
    fn is_abuse(begun: u64, premature: u64) -> bool {
        let mut resets = Resets::default();
        (0..begun).for_each(|_| resets.begin(Duration::ZERO));
        (0..premature).any(|_| resets.taken_back(Duration::ZERO, Duration::ZERO))
    }

    #[test]
    fn many_that_are_most_are_abuse() {
        for (begun, premature, expected) in [
            (1, 0, false),
            (500, 500, false),
            (501, 501, true),
            (1001, 501, true),
            (1002, 501, false),
            (100_000, 40_000, false),
        ] {
            assert_eq!(
                is_abuse(begun, premature),
                expected,
                "{premature} of {begun}"
            );
        }
    }

    #[test]
    fn those_that_are_taken_back_late_do_not_count() {
        let mut resets = Resets::default();
        let late = PREMATURE + Duration::from_nanos(1);
        assert!((0..=PREMATURE_MAX).all(|_| !resets.taken_back(late, Duration::ZERO)));
        let in_time = (0..=PREMATURE_MAX).map(|_| resets.taken_back(PREMATURE, Duration::ZERO));
        assert_eq!(in_time.filter(|is_abuse| *is_abuse).count(), 1);
    }

    #[test]
    fn a_long_life_of_some_that_are_taken_back_is_no_abuse() {
        let mut resets = Resets::default();
        // Three a second, for a day.
        for third in 0..3 * 86_400 {
            let now = Duration::from_millis(third * 1000 / 3);
            resets.begin(now);
            assert!(!resets.taken_back(Duration::ZERO, now), "{now:?}");
        }
        let now = Duration::from_secs(86_400);
        let abuse = (0..=PREMATURE_MAX).map(|_| {
            resets.begin(now);
            resets.taken_back(Duration::ZERO, now)
        });
        assert!(abuse.last().unwrap());
    }

    #[test]
    fn what_was_long_ago_neither_accuses_nor_excuses() {
        let (start, mut resets) = (Duration::ZERO, Resets::default());
        (0..PREMATURE_MAX).for_each(|_| assert!(!resets.taken_back(start, start)));
        let once = HALF_LIFE;
        assert!((0..PREMATURE_MAX / 2).all(|_| !resets.taken_back(start, once)));
        assert!(resets.taken_back(start, once));
        // However long ago, and of whatever number.
        let mut resets = Resets::default();
        (0..100_000).for_each(|_| resets.begin(start));
        let later = HALF_LIFE * 1000;
        assert!((0..PREMATURE_MAX).all(|_| !resets.taken_back(start, later)));
        assert!(resets.taken_back(start, later));
        // A clock that goes back changes nothing.
        resets.begin(start);
        assert!(resets.taken_back(start, start));
    }
}
