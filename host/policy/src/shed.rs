//! Which requests are refused when the host has more than it can do: those of the lowest priority first.

use std::time::Duration;

/// The highest priority.
pub const PRIORITY_MAX: u8 = 9;
/// What a service has that says nothing.
pub const PRIORITY_DEFAULT: u8 = 5;

/// A delay that is never undercut for a whole look means more work than can be done.
pub const DELAY_TARGET: Duration = Duration::from_millis(20);
/// What more is refused after a look that shows too much, in percent of one priority's requests.
const RISE: u16 = 20;
/// What less, after one that does not.
const FALL: u16 = 10;
/// All of one priority.
const WHOLE: u16 = 100;

/// How much is refused, in percent: the first hundred are all requests of priority 0, the next all of priority 1, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure(u16);

impl Pressure {
    /// Takes in the least delay of a look, where there are priorities from `lowest` to `highest`. Of the highest nothing is
    /// refused: it would be in nobody's favour.
    pub fn note(&mut self, least_delay: Duration, lowest: u8, highest: u8) {
        let [lowest, highest] = [lowest, highest].map(|priority| u16::from(priority) * WHOLE);
        self.0 = if least_delay > DELAY_TARGET {
            (self.0.max(lowest) + RISE).min(highest)
        } else {
            let rest = self.0.saturating_sub(FALL);
            if rest > lowest { rest } else { 0 }
        };
    }

    /// Whether anything is refused.
    pub fn is_any(self) -> bool {
        self.0 > 0
    }

    /// Whether a request of this priority is refused. `random` is from 0 up to 1.
    pub fn sheds(self, priority: u8, random: f64) -> bool {
        let own = f64::from(u16::from(priority.min(PRIORITY_MAX)) * WHOLE);
        own + f64::from(WHOLE) * random < f64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LATE: Duration = Duration::from_millis(21);

    #[test]
    fn the_lowest_priority_that_there_is_goes_first_and_more_of_it_with_every_look() {
        let mut pressure = Pressure::default();
        assert!(!pressure.is_any() && !pressure.sheds(0, 0.0));
        pressure.note(LATE, 3, 9);
        assert!(pressure.sheds(3, 0.1) && !pressure.sheds(3, 0.3));
        assert!(!pressure.sheds(4, 0.0));
        for _ in 0..5 {
            pressure.note(LATE, 3, 9);
        }
        assert!(pressure.sheds(3, 0.99) && pressure.sheds(4, 0.0) && !pressure.sheds(5, 0.0));
    }

    #[test]
    fn the_highest_priority_that_there_is_is_never_refused() {
        for highest in 1..=9 {
            let mut pressure = Pressure::default();
            for _ in 0..1_000 {
                pressure.note(LATE, 0, highest);
            }
            assert!(pressure.sheds(highest - 1, 0.99) && !pressure.sheds(highest, 0.0));
        }
        let mut alone = Pressure::default();
        alone.note(LATE, 5, 5);
        assert!(!alone.sheds(5, 0.0));
    }

    #[test]
    fn what_is_refused_is_taken_again_step_by_step() {
        let mut pressure = Pressure::default();
        for _ in 0..5 {
            pressure.note(LATE, 5, 9);
        }
        let mut looks = 0;
        while pressure.is_any() {
            pressure.note(DELAY_TARGET, 5, 9);
            looks += 1;
        }
        assert_eq!(looks, 10);
    }

    proptest! {
        #[test]
        fn a_higher_priority_is_never_refused_where_a_lower_is_not(
            looks in proptest::collection::vec((0..60u64, 0..10u8), 1..100),
            random in 0.0..1.0f64,
        ) {
            let mut pressure = Pressure::default();
            for (delay, lowest) in looks {
                pressure.note(Duration::from_millis(delay), lowest, 9);
                let shed: Vec<bool> = (0..=9).map(|priority| pressure.sheds(priority, random)).collect();
                prop_assert!(shed.is_sorted_by(|one, next| one >= next));
                prop_assert!(!shed[9]);
            }
        }
    }
}
