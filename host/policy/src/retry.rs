//! When a failed request is tried again: how often, after what pause, and for what share of all requests.
//!
//! Names and defaults are Envoy's.

use std::time::Duration;

use serde::Serialize;

/// How a service's requests are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Tries in all, the first one included.
    pub attempts: u32,
    /// What a try may take, if less than the request has left.
    pub per_try_timeout: Option<Duration>,
    /// The longest pause before the second try; doubles with every further one.
    pub backoff: Duration,
    /// No pause is longer.
    pub backoff_max: Duration,
    /// Percent of the service's requests that may be in a further try at a time.
    pub budget_percent: u8,
    /// So many may, whatever the percentage; and so many further tries may come of one request from outside.
    pub budget_min: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 2,
            per_try_timeout: None,
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            budget_percent: 20,
            budget_min: 3,
        }
    }
}

impl Settings {
    /// The pause before try number `attempt` (2 for the second): any time up to a limit that doubles, so that requests
    /// that failed together are not tried again together. `random` is from 0 up to 1.
    #[must_use]
    pub fn pause(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(2).min(31);
        let most = self.backoff.saturating_mul(1 << doublings);
        most.min(self.backoff_max).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Whether one more of `active` requests may be tried again while `retrying` are.
    #[must_use]
    pub fn has_budget(&self, active: u32, retrying: u32) -> bool {
        let share = u64::from(active) * u64::from(self.budget_percent) / 100;
        u64::from(retrying) < share.max(u64::from(self.budget_min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_are_random_below() {
        let settings = Settings::default();
        let longest = |attempt| settings.pause(attempt, 1.0).as_millis();
        assert_eq!([2, 3, 4, 5, 6].map(longest), [25, 50, 100, 200, 250]);
        assert_eq!(longest(u32::MAX), 250);
        assert_eq!(settings.pause(2, 0.0), Duration::ZERO);
        assert_eq!(settings.pause(3, 0.5), Duration::from_millis(25));
    }

    #[test]
    fn the_budget_is_a_share_of_the_requests_and_never_less_than_its_floor() {
        let settings = Settings::default();
        for active in 0..200 {
            let most = (0..).take_while(|retrying| settings.has_budget(active, *retrying));
            assert_eq!(most.count() as u32, (active / 5).max(3), "{active}");
        }
    }
}
