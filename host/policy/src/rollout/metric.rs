//! What is seen of a revision, and the figures that are made of it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::thousandths::{Thousandths, decimal};
use crate::nearest::nearest;
use crate::quote::quoted;
use crate::size;

/// What was seen of one revision between two checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those of them that the revision answered with 5xx, or that failed through its fault.
    pub errors: u64,
    /// Faults of its guests.
    pub faults: u64,
    /// Half of the requests took no longer; None without requests.
    pub p50: Option<Duration>,
    /// 90 percent took no longer.
    pub p90: Option<Duration>,
    /// 99 percent took no longer.
    pub p99: Option<Duration>,
    /// CPU time of all requests together.
    pub cpu: Duration,
    /// The most memory that one of its instances had, in bytes.
    pub memory_peak: u64,
    /// Requests of the other revision that it answered, too, without anybody getting the answer.
    pub mirrored: u64,
    /// Those of them that it answered otherwise.
    pub differing: u64,
}

/// A figure of a revision that can have a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Metric {
    /// How many there were.
    Requests,
    /// Percent of the requests.
    ErrorRate,
    /// Percent of the requests.
    SuccessRate,
    /// How many there were.
    Faults,
    /// In milliseconds.
    P50,
    /// In milliseconds.
    P90,
    /// In milliseconds.
    P99,
    /// Of a request on average, in milliseconds.
    CpuMs,
    /// The most that an instance had, in bytes.
    MemoryBytes,
    /// Percent of the mirrored requests.
    DifferenceRate,
}

/// No metric has this name; its display says which there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown metric {}: {}use one of {}",
    quoted(name),
    suggestion.map(|name| format!("did you mean {name}? ")).unwrap_or_default(),
    Metric::ALL.map(Metric::as_str).join(", ")
)]
pub struct MetricError {
    /// What was written.
    pub name: String,
    /// The nearest name.
    pub suggestion: Option<&'static str>,
}

impl Metric {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Requests,
        Self::ErrorRate,
        Self::SuccessRate,
        Self::Faults,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::CpuMs,
        Self::MemoryBytes,
        Self::DifferenceRate,
    ];

    /// Its name, as written in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::ErrorRate => "error_rate",
            Self::SuccessRate => "success_rate",
            Self::Faults => "faults",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::CpuMs => "cpu_ms",
            Self::MemoryBytes => "memory_bytes",
            Self::DifferenceRate => "difference_rate",
        }
    }

    /// The figure, in the metric's unit; None if it takes requests to have one and there were none. It is never rounded
    /// to the good side: a rate of 100 % has no error in it.
    #[must_use]
    pub fn of(self, sample: &Sample) -> Option<Thousandths> {
        let rate =
            |part: u64, of: u64| (of > 0).then(|| Thousandths::whole(100).scaled(part.min(of), of));
        let error_rate = || rate(sample.errors, sample.requests);
        match self {
            Self::Requests => Some(Thousandths::whole(sample.requests)),
            Self::ErrorRate => error_rate(),
            Self::SuccessRate => {
                error_rate().map(|rate| Thousandths::new(100_000_u64.saturating_sub(rate.get())))
            }
            Self::Faults => Some(Thousandths::whole(sample.faults)),
            Self::P50 => sample.p50.map(milliseconds),
            Self::P90 => sample.p90.map(milliseconds),
            Self::P99 => sample.p99.map(milliseconds),
            Self::CpuMs => {
                (sample.requests > 0).then(|| milliseconds(sample.cpu).scaled(1, sample.requests))
            }
            Self::MemoryBytes => Some(Thousandths::whole(sample.memory_peak)),
            Self::DifferenceRate => rate(sample.differing, sample.mirrored),
        }
    }

    /// Whether twice the requests have twice the figure.
    pub(super) fn is_count(self) -> bool {
        matches!(self, Self::Requests | Self::Faults)
    }

    /// What it is called in a sentence.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Requests => "number of requests",
            Self::ErrorRate => "error rate",
            Self::SuccessRate => "success rate",
            Self::Faults => "number of faults",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::CpuMs => "CPU time of a request",
            Self::MemoryBytes => "memory of an instance",
            Self::DifferenceRate => "difference rate",
        }
    }

    /// A figure with its unit.
    pub(super) fn show(self, figure: Thousandths) -> String {
        match self {
            Self::Requests | Self::Faults => figure.to_string(),
            Self::ErrorRate | Self::SuccessRate | Self::DifferenceRate => format!("{figure} %"),
            Self::P50 | Self::P90 | Self::P99 | Self::CpuMs
                if figure < Thousandths::whole(1000) =>
            {
                format!("{figure}ms")
            }
            Self::P50 | Self::P90 | Self::P99 | Self::CpuMs => {
                format!("{}s", decimal(figure.get(), 6))
            }
            Self::MemoryBytes => size::show(figure.get() / 1000),
        }
    }
}

/// A time in milliseconds, rounded up.
pub(super) fn milliseconds(time: Duration) -> Thousandths {
    let microseconds = time.as_nanos().div_ceil(1000);
    u64::try_from(microseconds).map_or(Thousandths::MAX, Thousandths::new)
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Metric> for &'static str {
    fn from(metric: Metric) -> Self {
        metric.as_str()
    }
}

impl std::str::FromStr for Metric {
    type Err = MetricError;

    fn from_str(name: &str) -> Result<Self, MetricError> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == name);
        known.ok_or_else(|| MetricError {
            name: name.to_owned(),
            suggestion: nearest(name, Self::ALL.map(Self::as_str)),
        })
    }
}

impl TryFrom<String> for Metric {
    type Error = MetricError;

    fn try_from(name: String) -> Result<Self, MetricError> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_metric_has_a_name_and_no_other_name_has_one() {
        for metric in Metric::ALL {
            assert_eq!(metric.as_str().parse(), Ok(metric));
            let text = serde_json::to_string(&metric).unwrap();
            assert_eq!(text, format!("\"{metric}\""));
            assert_eq!(serde_json::from_str::<Metric>(&text).unwrap(), metric);
        }
        assert_eq!(
            "sucess_rate".parse::<Metric>().unwrap_err().to_string(),
            "unknown metric \"sucess_rate\": did you mean success_rate? use one of requests, error_rate, \
             success_rate, faults, p50, p90, p99, cpu_ms, memory_bytes, difference_rate"
        );
        let message = "weather".parse::<Metric>().unwrap_err().to_string();
        assert!(message.starts_with("unknown metric \"weather\": use one of"));
    }

    #[test]
    fn figures_have_the_unit_of_their_metric() {
        let sample = Sample {
            requests: 8,
            errors: 1,
            faults: 3,
            p50: Some(Duration::from_micros(1500)),
            p90: Some(Duration::from_nanos(1)),
            p99: Some(Duration::from_secs(2)),
            cpu: Duration::from_millis(100),
            memory_peak: 65_536,
            mirrored: 10,
            differing: 1,
        };
        let shown = Metric::ALL.map(|metric| metric.show(metric.of(&sample).unwrap()));
        let expected = [
            "8", "12.5 %", "87.5 %", "3", "1.5ms", "0.001ms", "2s", "12.5ms", "64KiB", "10 %",
        ];
        assert_eq!(shown, expected);
        assert_eq!(Metric::P50.show(Thousandths::whole(1000)), "1s");
    }

    #[test]
    fn without_requests_there_is_no_rate_and_no_time() {
        let there = Metric::ALL.map(|metric| metric.of(&Sample::default()).is_some());
        let expected = [
            true, false, false, true, false, false, false, false, true, false,
        ];
        assert_eq!(there, expected);
    }

    proptest! {
        /// Comparing the figure with a limit is comparing the fraction itself.
        #[test]
        fn rates_are_on_the_right_side_of_every_limit(
            requests in 1..10_000_000u64,
            errors in 0..10_000_000u64,
            limit in 0..=100_000u64,
        ) {
            let sample = Sample { requests, errors, ..Sample::default() };
            let errors = errors.min(requests);
            let is_over = u128::from(errors) * 100_000 > u128::from(limit) * u128::from(requests);
            let error_rate = Metric::ErrorRate.of(&sample).unwrap();
            prop_assert_eq!(error_rate > Thousandths::new(limit), is_over);
            prop_assert!(error_rate <= Thousandths::whole(100));
            let good = u128::from(requests - errors);
            let is_under = good * 100_000 < u128::from(limit) * u128::from(requests);
            let success_rate = Metric::SuccessRate.of(&sample).unwrap();
            prop_assert_eq!(success_rate < Thousandths::new(limit), is_under);
        }
    }
}
