//! Whether a service is healthy, by how its health checks went.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When and how a service is checked, and how many checks in a row change what is thought of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The path that is asked for.
    pub path: String,
    /// Between the start of one check and the next.
    pub interval: Duration,
    /// What a check may take.
    pub timeout: Duration,
    /// Failed checks in a row after which a service is unhealthy.
    pub unhealthy_threshold: u32,
    /// Good checks in a row after which it is healthy again.
    pub healthy_threshold: u32,
    /// Whether the host is not ready while the service is unhealthy.
    pub required: bool,
}

/// What is thought of a service. It is healthy until checks say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    is_unhealthy: bool,
    /// Checks in a row that say the opposite.
    opposed: u32,
}

impl Health {
    /// Takes in one check; whether that changed what is thought.
    pub fn record(&mut self, is_good: bool, settings: &Settings) -> bool {
        if is_good != self.is_unhealthy {
            self.opposed = 0;
            return false;
        }
        self.opposed += 1;
        let needed = if self.is_unhealthy {
            settings.healthy_threshold
        } else {
            settings.unhealthy_threshold
        };
        if self.opposed < needed {
            return false;
        }
        *self = Self {
            is_unhealthy: !self.is_unhealthy,
            opposed: 0,
        };
        true
    }

    /// Whether the service is thought to be healthy.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.is_unhealthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(unhealthy_threshold: u32, healthy_threshold: u32) -> Settings {
        Settings {
            path: "/".to_owned(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            unhealthy_threshold,
            healthy_threshold,
            required: false,
        }
    }

    #[test]
    fn it_takes_as_many_in_a_row_as_are_set() {
        let settings = settings(3, 2);
        let mut health = Health::default();
        let checks = [
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (false, true),
            (false, false),
            (true, false),
            (false, false),
            (true, false),
            (true, true),
        ];
        for (at, (is_good, expected)) in checks.into_iter().enumerate() {
            let before = health.is_healthy();
            let changed = health.record(is_good, &settings);
            assert_eq!(health.is_healthy(), expected, "check {at}");
            assert_eq!(changed, before != expected, "check {at}");
        }
    }

    /// Every sequence of up to 10 checks, for every pair of small thresholds, beside the rule in words.
    #[test]
    fn it_is_what_the_last_run_that_was_long_enough_says() {
        for (unhealthy, healthy) in (1..4).flat_map(|a| (1..4).map(move |b| (a, b))) {
            let settings = settings(unhealthy, healthy);
            for bits in 0..1_u32 << 10 {
                let mut health = Health::default();
                let (mut expected, mut run, mut last) = (true, 0, None);
                for check in 0..10 {
                    let is_good = bits >> check & 1 == 1;
                    run = if last == Some(is_good) { run + 1 } else { 1 };
                    last = Some(is_good);
                    let needed = if is_good { healthy } else { unhealthy };
                    if run >= needed {
                        expected = is_good;
                    }
                    health.record(is_good, &settings);
                    assert_eq!(health.is_healthy(), expected, "{bits:b} {check}");
                }
            }
        }
    }
}
