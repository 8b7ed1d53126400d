//! What one service may use: the figures, their defaults and their bounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::shed::{PRIORITY_DEFAULT, PRIORITY_MAX};
use crate::size::{GIB, KIB, MIB, TIB};
use crate::{duration, size};

/// Least memory of an instance, in bytes: one page of a linear memory.
pub const MEMORY_MIN: u64 = 64 * KIB;
/// Most memory of an instance, in bytes: what 32-bit guests can address.
pub const MEMORY_MAX: u64 = 4 * GIB;
/// Least time that a limit can state.
pub const TIME_MIN: Duration = Duration::from_millis(1);
/// Most guest CPU time of a request.
pub const CPU_MAX: Duration = Duration::from_secs(3600);
/// Most wall-clock time of a request.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Most requests in flight in one service.
pub const CONCURRENCY_MAX: u32 = 65_536;
/// Most requests waiting for one service.
pub const QUEUE_MAX: u32 = 1_048_576;
/// Largest request body, in bytes.
pub const BODY_MAX: u64 = TIB;

const _: () = assert!(MEMORY_MIN <= Limits::DEFAULT.memory && Limits::DEFAULT.memory <= MEMORY_MAX);
const _: () = assert!(Limits::DEFAULT.cpu.as_nanos() <= Limits::DEFAULT.timeout.as_nanos());

/// The limits of a service; each is enforced on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of linear memories and tables of an instance.
    pub memory: u64,
    /// Guest CPU time of a request.
    pub cpu: Duration,
    /// Wall-clock time of a request, queueing included.
    pub timeout: Duration,
    /// Requests in flight.
    pub concurrency: u32,
    /// Requests waiting.
    pub queue: u32,
    /// Bytes of a request's body.
    pub body: u64,
    /// Whether `concurrency` is only the most, and how many are in flight is found out from how long they take.
    pub adaptive: bool,
    /// Who is refused first when the host has more than it can do: the lowest.
    pub priority: u8,
}

/// A limit outside its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {}", self.reason())]
pub struct LimitsError {
    /// The limit's key in a manifest, such as `memory`.
    pub key: &'static str,
    given: String,
    min: String,
    max: String,
}

impl LimitsError {
    /// What is wrong, without the key.
    #[must_use]
    pub fn reason(&self) -> String {
        let Self {
            given, min, max, ..
        } = self;
        format!("must be between {min} and {max}, not {given}")
    }
}

impl Limits {
    /// What a service gets that states nothing.
    pub const DEFAULT: Self = Self {
        memory: 64 * MIB,
        cpu: Duration::from_millis(500),
        timeout: Duration::from_secs(5),
        concurrency: 64,
        queue: 256,
        body: 10 * MIB,
        adaptive: false,
        priority: PRIORITY_DEFAULT,
    };

    /// Checks every limit against its bounds.
    ///
    /// # Errors
    /// The first limit that is out of bounds, in the order of the fields.
    pub fn check(&self) -> Result<(), LimitsError> {
        within("memory", self.memory, MEMORY_MIN, MEMORY_MAX, size::show)?;
        within("cpu", self.cpu, TIME_MIN, CPU_MAX, duration::show)?;
        within(
            "timeout",
            self.timeout,
            TIME_MIN,
            TIMEOUT_MAX,
            duration::show,
        )?;
        within("concurrency", self.concurrency, 1, CONCURRENCY_MAX, |n| {
            n.to_string()
        })?;
        within("queue", self.queue, 1, QUEUE_MAX, |n| n.to_string())?;
        within("body", self.body, 1, BODY_MAX, size::show)?;
        within("priority", self.priority, 0, PRIORITY_MAX, |n| {
            n.to_string()
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

pub(crate) fn within<T: PartialOrd>(
    key: &'static str,
    given: T,
    min: T,
    max: T,
    show: impl Fn(T) -> String,
) -> Result<(), LimitsError> {
    if given >= min && given <= max {
        return Ok(());
    }
    Err(LimitsError {
        key,
        given: show(given),
        min: show(min),
        max: show(max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Limits)) -> String {
        let mut limits = Limits::default();
        change(&mut limits);
        limits.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_within_bounds() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn the_bounds_themselves_are_allowed() {
        let least = Limits {
            memory: MEMORY_MIN,
            cpu: TIME_MIN,
            timeout: TIME_MIN,
            concurrency: 1,
            queue: 1,
            body: 1,
            adaptive: false,
            priority: 0,
        };
        let most = Limits {
            memory: MEMORY_MAX,
            cpu: CPU_MAX,
            timeout: TIMEOUT_MAX,
            concurrency: CONCURRENCY_MAX,
            queue: QUEUE_MAX,
            body: BODY_MAX,
            adaptive: true,
            priority: PRIORITY_MAX,
        };
        assert_eq!(least.check().and(most.check()), Ok(()));
    }

    #[test]
    fn every_limit_below_its_least_is_refused_by_name() {
        let cases = [
            (
                refused(|l| l.memory = 1),
                "memory must be between 64KiB and 4GiB, not 1B",
            ),
            (
                refused(|l| l.cpu = Duration::ZERO),
                "cpu must be between 1ms and 1h, not 0s",
            ),
            (
                refused(|l| l.timeout = Duration::from_micros(999)),
                "timeout must be between 1ms and 1h, not 999us",
            ),
            (
                refused(|l| l.concurrency = 0),
                "concurrency must be between 1 and 65536, not 0",
            ),
            (
                refused(|l| l.queue = 0),
                "queue must be between 1 and 1048576, not 0",
            ),
            (
                refused(|l| l.body = 0),
                "body must be between 1B and 1TiB, not 0B",
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn every_limit_above_its_most_is_refused_by_name() {
        let over = TIMEOUT_MAX + Duration::from_nanos(1);
        let cases = [
            (refused(|l| l.memory = MEMORY_MAX + 1), "memory"),
            (refused(|l| l.cpu = over), "cpu"),
            (refused(|l| l.timeout = over), "timeout"),
            (
                refused(|l| l.concurrency = CONCURRENCY_MAX + 1),
                "concurrency",
            ),
            (refused(|l| l.queue = QUEUE_MAX + 1), "queue"),
            (refused(|l| l.body = u64::MAX), "body"),
        ];
        for (message, key) in cases {
            assert!(
                message.starts_with(&format!("{key} must be between ")),
                "{message}"
            );
        }
    }
}
