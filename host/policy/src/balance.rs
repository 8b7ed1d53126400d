//! Which of several servers gets the next request, and which get none for a while because they fail.
//!
//! The choice is the power of two: of two servers at random the one with fewer requests in flight. What takes a server
//! out is Envoy's outlier detection, with its names and defaults. Time is an argument, counted from any fixed moment.

use std::time::Duration;

/// Failures in a row that eject a server.
pub const CONSECUTIVE_5XX: u32 = 5;
/// For how long, the first time; each further time in a row that much longer.
pub const BASE_EJECTION_TIME: Duration = Duration::from_secs(30);
/// For how long at most.
pub const MAX_EJECTION_TIME: Duration = Duration::from_secs(300);
/// Back for as long as this, a server has one of its ejections forgiven.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// How a request went at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, and not with a 5xx.
    Answered,
    /// It was answered with a 5xx, or not at all.
    Failed,
    /// No connection could be made: whoever is asked next would not get one either.
    Unreachable,
}

/// What is thought of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlier {
    /// Failures since the last answer.
    failures: u32,
    /// How often it was ejected, less what is forgiven.
    ejections: u32,
    /// Until when it was ejected last.
    until: Option<Duration>,
}

impl Outlier {
    /// Whether it gets no requests now.
    #[must_use]
    pub fn is_ejected(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Takes in one request. For how long the server is ejected, if it is by this.
    pub fn record(&mut self, outcome: Outcome, now: Duration) -> Option<Duration> {
        // What was sent there before says nothing new; nor does what is sent there because all are ejected.
        if self.is_ejected(now) {
            return None;
        }
        self.failures = match outcome {
            Outcome::Answered => 0,
            Outcome::Failed => self.failures + 1,
            Outcome::Unreachable => CONSECUTIVE_5XX,
        };
        if self.failures < CONSECUTIVE_5XX {
            return None;
        }
        let back = self.until.map_or(Duration::ZERO, |until| now - until);
        let forgiven = u32::try_from(back.as_nanos() / INTERVAL.as_nanos()).unwrap_or(u32::MAX);
        self.ejections = self.ejections.saturating_sub(forgiven) + 1;
        let time = BASE_EJECTION_TIME.saturating_mul(self.ejections);
        let time = time.min(MAX_EJECTION_TIME);
        self.failures = 0;
        self.until = Some(now + time);
        Some(time)
    }
}

/// A server as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Requests that it works on.
    pub in_flight: u32,
    /// Whether it is ejected.
    pub is_ejected: bool,
}

/// The server that gets the next request; by two numbers at random, each from 0 up to 1. If all are ejected they are
/// taken as if none were: to ask one that failed is better than to ask none. None if there is no server.
#[must_use]
pub fn pick(servers: impl Iterator<Item = Load> + Clone, at_random: [f64; 2]) -> Option<usize> {
    let all = servers.clone().count();
    let sound = servers.clone().filter(|server| !server.is_ejected).count();
    let (count, takes_all) = if sound == 0 {
        (all, true)
    } else {
        (sound, false)
    };
    let nth = |n: usize| {
        let mut able = servers.clone().enumerate();
        able.by_ref()
            .filter(|(_, server)| takes_all || !server.is_ejected)
            .nth(n)
    };
    let one = index(at_random[0], count)?;
    let other = match index(at_random[1], count - 1) {
        None => one,
        // Another one than the first.
        Some(other) => other + usize::from(other >= one),
    };
    let (one, other) = (nth(one)?, nth(other)?);
    let is_fewer = other.1.in_flight < one.1.in_flight;
    Some(if is_fewer { other.0 } else { one.0 })
}

/// A number from 0 up to 1 as one of so many. None of none.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small, and from 0 up"
)]
fn index(at_random: f64, count: usize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    Some(((at_random * count as f64) as usize).min(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn failures_in_a_row_eject_and_an_answer_between_them_does_not() {
        let mut outlier = Outlier::default();
        for round in 0..3 {
            for _ in 1..CONSECUTIVE_5XX {
                assert_eq!(outlier.record(Outcome::Failed, seconds(round)), None);
            }
            assert_eq!(outlier.record(Outcome::Answered, seconds(round)), None);
        }
        for _ in 1..CONSECUTIVE_5XX {
            assert_eq!(outlier.record(Outcome::Failed, seconds(9)), None);
        }
        let ejected = outlier.record(Outcome::Failed, seconds(9));
        assert_eq!(ejected, Some(BASE_EJECTION_TIME));
        assert!(outlier.is_ejected(seconds(38)));
        assert!(!outlier.is_ejected(seconds(39)));
        // It begins anew.
        assert_eq!(outlier.record(Outcome::Failed, seconds(39)), None);
    }

    #[test]
    fn who_can_not_be_reached_is_ejected_at_once_and_each_time_for_longer() {
        let mut outlier = Outlier::default();
        let mut now = Duration::ZERO;
        for time in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
            let ejected = outlier.record(Outcome::Unreachable, now);
            assert_eq!(ejected, Some(seconds(time)));
            // While it is out, nothing counts.
            assert_eq!(outlier.record(Outcome::Unreachable, now), None);
            now += seconds(time);
        }
    }

    #[test]
    fn ejections_are_forgiven_as_time_goes_by() {
        for (back, expected) in [(0, 90), (9, 90), (10, 60), (20, 30), (9_999, 30)] {
            let mut outlier = Outlier::default();
            let first = outlier.record(Outcome::Unreachable, Duration::ZERO);
            let second = outlier.record(Outcome::Unreachable, first.unwrap());
            let now = first.unwrap() + second.unwrap() + seconds(back);
            let third = outlier.record(Outcome::Unreachable, now);
            assert_eq!(third, Some(seconds(expected)), "{back}");
        }
    }

    fn loads(of: &[(u32, bool)]) -> Vec<Load> {
        let each = of.iter();
        each.map(|(in_flight, is_ejected)| Load {
            in_flight: *in_flight,
            is_ejected: *is_ejected,
        })
        .collect()
    }

    #[test]
    fn of_two_the_one_with_fewer_requests_is_taken_whatever_the_numbers() {
        let servers = loads(&[(3, false), (2, false)]);
        for one in 0..10 {
            for other in 0..10 {
                let at_random = [f64::from(one) / 10.0, f64::from(other) / 10.0];
                assert_eq!(pick(servers.iter().copied(), at_random), Some(1));
            }
        }
        assert_eq!(pick([].into_iter(), [0.0, 0.0]), None);
        assert_eq!(pick(loads(&[(7, true)]).into_iter(), [0.9, 0.9]), Some(0));
    }

    proptest! {
        #[test]
        fn an_ejected_server_is_taken_only_if_all_are(
            servers in prop::collection::vec((0..4_u32, any::<bool>()), 1..6),
            one in 0.0..1.0,
            other in 0.0..1.0,
        ) {
            let servers = loads(&servers);
            let picked = pick(servers.iter().copied(), [one, other]).unwrap();
            let all = servers.iter().all(|server| server.is_ejected);
            prop_assert!(all || !servers[picked].is_ejected);
        }

        #[test]
        fn every_sound_server_is_taken_by_some_number_if_loads_are_even(
            sound in prop::collection::vec(any::<bool>(), 1..6),
        ) {
            let servers = loads(&sound.iter().map(|sound| (1, !sound)).collect::<Vec<_>>());
            let all = !sound.contains(&true);
            for (index, is_sound) in sound.iter().enumerate() {
                let tried = (0..100).map(|one| pick(servers.iter().copied(), [f64::from(one) / 100.0, 0.0]));
                let taken = tried.flatten().any(|picked| picked == index);
                prop_assert_eq!(taken, all || *is_sound);
            }
        }
    }
}
