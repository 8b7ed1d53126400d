//! How many requests a service works on at once, found out from how long they take: Envoy's gradient controller.
//!
//! From time to time few are let in, and what they take is what the service takes without a crowd. Between those times the
//! limit falls in proportion as requests take longer than that, and otherwise grows by its square root.

use std::time::Duration;

/// Requests at once while the time without a crowd is taken.
const MEASURED_AT_ONCE: u32 = 3;
/// Requests that this is taken of.
const MEASURED: usize = 50;
/// How often it is taken, and by which part of that later, at random.
const MEASURE_EVERY: Duration = Duration::from_secs(60);
const JITTER: f64 = 0.15;
/// How much longer requests may take without a fall of the limit.
const BUFFER: f64 = 0.25;
/// Longest time for which few are let in, for a service that is slow or hardly used.
const MEASURE_MAX: Duration = Duration::from_secs(5);
/// A service that has been idle for so long is not measured with the first requests of a crowd.
const IDLE: Duration = Duration::from_secs(1);
/// How often the limit is looked at.
const UPDATE_EVERY: Duration = Duration::from_millis(100);
/// Requests that one look is made of, at most.
const SAMPLE_MAX: usize = 1024;
const GRADIENT_MIN: f64 = 0.5;
const GRADIENT_MAX: f64 = 2.0;

/// One service's limit.
#[derive(Clone, Debug)]
pub struct Gradient {
    max: u32,
    limit: f64,
    alone: Option<Duration>,
    phase: Phase,
    /// Requests that began earlier were among others than the limit of now allows.
    since: Duration,
    /// When the last request was answered.
    last: Duration,
    sample: Vec<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Few are let in.
    Measuring,
    /// The limit is in force until then.
    Steering { measure_at: Duration },
}

impl Gradient {
    /// Of a service that may work on `max` requests at once.
    pub fn new(max: u32) -> Self {
        Self {
            max: max.max(1),
            limit: f64::from(MEASURED_AT_ONCE.min(max.max(1))),
            alone: None,
            phase: Phase::Measuring,
            since: Duration::ZERO,
            last: Duration::ZERO,
            sample: Vec::new(),
        }
    }

    /// The most that there may be.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// How many requests the service works on at once.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and a u32"
    )]
    pub fn limit(&self) -> u32 {
        let limit = match self.phase {
            Phase::Measuring => self.limit.min(f64::from(MEASURED_AT_ONCE)),
            Phase::Steering { .. } => self.limit,
        };
        (limit as u32).clamp(1, self.max)
    }

    /// A request that the service began to work on at `began` was answered at `now`. Answers the limit if it is another
    /// now. `random` is from 0 up to 1.
    pub fn note(&mut self, began: Duration, now: Duration, random: f64) -> Option<u32> {
        let was_idle = now > self.last + IDLE;
        self.last = now;
        if began < self.since {
            return None;
        }
        if self.sample.len() < SAMPLE_MAX {
            self.sample.push(now.saturating_sub(began));
        }
        let before = self.limit();
        match self.phase {
            Phase::Measuring => {
                if self.sample.len() >= MEASURED || now > self.since + MEASURE_MAX {
                    self.alone = Some(self.median());
                    let measure_at = now + later(random);
                    self.begin(Phase::Steering { measure_at }, now);
                }
            }
            Phase::Steering { measure_at } if now >= measure_at && was_idle => {
                let measure_at = now + later(random);
                self.begin(Phase::Steering { measure_at }, now);
            }
            Phase::Steering { measure_at } if now >= measure_at => {
                self.begin(Phase::Measuring, now);
            }
            Phase::Steering { .. } if now >= self.since + UPDATE_EVERY => {
                self.steer();
                self.begin(self.phase, now);
            }
            Phase::Steering { .. } => {}
        }
        let limit = self.limit();
        (limit != before).then_some(limit)
    }

    fn begin(&mut self, phase: Phase, now: Duration) {
        self.phase = phase;
        self.since = now;
        self.sample.clear();
    }

    fn steer(&mut self) {
        let (Some(alone), taken) = (self.alone, self.median()) else {
            return;
        };
        let allowed = alone.as_secs_f64() * (1.0 + BUFFER);
        let gradient = (allowed / taken.as_secs_f64().max(1e-9)).clamp(GRADIENT_MIN, GRADIENT_MAX);
        let limit = self.limit * gradient + self.limit.sqrt();
        self.limit = limit.clamp(1.0, f64::from(self.max));
    }

    fn median(&mut self) -> Duration {
        let middle = self.sample.len() / 2;
        if self.sample.is_empty() {
            return Duration::ZERO;
        }
        *self.sample.select_nth_unstable(middle).1
    }
}

/// When it is measured next.
fn later(random: f64) -> Duration {
    MEASURE_EVERY.mul_f64(1.0 + JITTER * random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A service that answers in `alone` up to `capacity` requests at once and in proportion longer beyond, always with as
    /// many requests as it is given. Answers the limits of the last ten of `seconds`.
    fn limits(max: u32, capacity: u32, alone: Duration, seconds: u64) -> (u32, u32) {
        let mut gradient = Gradient::new(max);
        let mut now = Duration::ZERO;
        let (mut least, mut most) = (u32::MAX, 0);
        while now < Duration::from_secs(seconds) {
            let at_once = gradient.limit();
            let crowd = f64::from(at_once.max(capacity)) / f64::from(capacity);
            let began = now;
            now += alone.mul_f64(crowd);
            for _ in 0..at_once {
                gradient.note(began, now, 0.5);
            }
            if now + Duration::from_secs(10) > Duration::from_secs(seconds) {
                least = least.min(gradient.limit());
                most = most.max(gradient.limit());
            }
        }
        (least, most)
    }

    #[test]
    fn the_limit_settles_a_little_above_what_the_service_can_do() {
        let (least, most) = limits(1_000, 40, Duration::from_millis(10), 30);
        assert!((40..=80).contains(&least), "{least}");
        assert!((40..=80).contains(&most), "{most}");
    }

    #[test]
    fn a_service_without_a_bound_of_its_own_gets_all_that_is_allowed() {
        assert_eq!(limits(64, 10_000, Duration::from_millis(1), 20), (64, 64));
    }

    #[test]
    fn few_are_let_in_while_it_is_measured_and_again_after_a_minute() {
        let mut gradient = Gradient::new(100);
        assert_eq!(gradient.limit(), MEASURED_AT_ONCE);
        let (mut now, ms) = (Duration::ZERO, Duration::from_millis(1));
        let mut measured_again = false;
        let mut grown = 0;
        while now < Duration::from_secs(70) {
            let began = now;
            now += ms;
            gradient.note(began, now, 0.0);
            grown = grown.max(gradient.limit());
            measured_again |= now >= MEASURE_EVERY && gradient.limit() == MEASURED_AT_ONCE;
        }
        assert_eq!(grown, 100);
        assert!(measured_again);
        assert_eq!(gradient.limit(), 100, "and it goes on as before");
    }

    #[test]
    fn a_slow_service_is_not_kept_small_for_long_and_an_idle_one_not_when_a_crowd_comes() {
        let mut gradient = Gradient::new(100);
        let second = Duration::from_secs(1);
        for answer in 0..8 {
            gradient.note(second * answer, second * (answer + 1), 0.0);
        }
        assert!(gradient.limit() > MEASURED_AT_ONCE);
        let limit = gradient.limit();
        let noon = second * 3600;
        assert_eq!(gradient.note(noon, noon + second, 0.0), None);
        assert_eq!(gradient.limit(), limit);
    }

    #[test]
    fn requests_of_before_a_change_say_nothing() {
        let mut gradient = Gradient::new(100);
        let second = Duration::from_secs(1);
        for _ in 0..MEASURED {
            gradient.note(Duration::ZERO, second, 0.0);
        }
        assert_eq!(gradient.note(Duration::ZERO, second * 50, 0.0), None);
        assert!(gradient.sample.is_empty());
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds(
            max in 1..2_000u32,
            requests in proptest::collection::vec((0..5_000u64, 0..1_000u64, 0.0..1.0f64), 1..400),
        ) {
            let mut gradient = Gradient::new(max);
            let mut now = Duration::ZERO;
            for (took, pause, random) in requests {
                now += Duration::from_millis(pause);
                let began = now.saturating_sub(Duration::from_millis(took));
                if let Some(limit) = gradient.note(began, now, random) {
                    prop_assert_eq!(limit, gradient.limit());
                }
                prop_assert!((1..=max).contains(&gradient.limit()));
            }
        }
    }
}
