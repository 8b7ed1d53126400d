//! Whether a candidate is good enough, by what was seen of it and of the running revision over the same time.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::metric::{Metric, Sample, milliseconds};
use super::thousandths::Thousandths;

/// How a candidate is checked. Names and defaults are Flagger's where it has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// Between one check and the next; not zero.
    pub interval: Duration,
    /// Failed checks that abort, in all; 0 counts as 1.
    pub threshold: u32,
    /// With fewer requests nothing is said about a revision; with 0 a candidate without any passes.
    pub minimum_samples: u64,
    /// Least percent of requests without an error.
    pub success_rate: Option<Thousandths>,
    /// The longest that 99 percent of the requests may take.
    pub p99: Option<Duration>,
    /// The most faults from one check to the next. More of them fail even with too few requests.
    pub faults: Option<u64>,
    /// How much worse than the running revision the candidate may be.
    pub compare: Option<Compare>,
    /// Further limits.
    pub metrics: Vec<Threshold>,
}

/// How much worse than the running revision a candidate may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// By so many percentage points the success rate may be lower.
    pub success_rate: Option<Thousandths>,
    /// So many times as long the p99 may be.
    pub p99: Option<Thousandths>,
}

/// Limits of one metric, in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// What is limited.
    pub metric: Metric,
    /// The most that it may be. More faults than this fail even with too few requests.
    pub max: Option<Thousandths>,
    /// The least that it must be.
    pub min: Option<Thousandths>,
    /// So many times as much as of the running revision it may be. Counts are compared as if the running revision had
    /// had as many requests as the candidate.
    pub max_ratio_to_running: Option<Thousandths>,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Pass,
    /// There were too few requests to say.
    TooFew,
    /// All that is wrong.
    Fail(Vec<Failure>),
}

/// A figure that is past its limit; its display is a sentence with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What is past its limit.
    pub metric: Metric,
    /// The candidate's, in the metric's unit.
    pub figure: Thousandths,
    /// The limit that it is past.
    pub limit: Limit,
}

/// A limit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The most, in the metric's unit.
    Max(Thousandths),
    /// The least, in the metric's unit.
    Min(Thousandths),
    /// The most, in multiples of the running revision's.
    Ratio {
        /// The running revision's, in the metric's unit.
        running: Thousandths,
        /// So many times as much.
        allowed: Thousandths,
    },
    /// The least, by its distance from the running revision's.
    Points {
        /// The running revision's, in percent.
        running: Thousandths,
        /// So many percentage points less.
        allowed: Thousandths,
    },
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            threshold: 5,
            minimum_samples: 20,
            success_rate: Some(Thousandths::whole(99)),
            p99: Some(Duration::from_millis(500)),
            faults: None,
            compare: None,
            metrics: Vec::new(),
        }
    }
}

impl Threshold {
    /// No limit of this metric yet.
    #[must_use]
    pub fn new(metric: Metric) -> Self {
        Self {
            metric,
            max: None,
            min: None,
            max_ratio_to_running: None,
        }
    }

    fn failures(&self, candidate: &Sample, running: Option<&Sample>) -> Vec<Failure> {
        let metric = self.metric;
        let Some(figure) = metric.of(candidate) else {
            return Vec::new();
        };
        let over = self.max.filter(|max| figure > *max).map(Limit::Max);
        let under = self.min.filter(|min| figure < *min).map(Limit::Min);
        let ratio = self.max_ratio_to_running.and_then(|allowed| {
            let of_running = running.and_then(|running| running_figure(metric, candidate, running));
            let running = of_running.filter(|running| figure > running.times(allowed))?;
            Some(Limit::Ratio { running, allowed })
        });
        let limits = [over, under, ratio].into_iter().flatten();
        let failure = |limit| Failure {
            metric,
            figure,
            limit,
        };
        limits.map(failure).collect()
    }
}

/// The running revision's figure, as it would be with as many requests as the candidate had.
fn running_figure(metric: Metric, candidate: &Sample, running: &Sample) -> Option<Thousandths> {
    let figure = metric.of(running)?;
    if metric.is_count() && running.requests > 0 {
        return Some(figure.scaled(candidate.requests, running.requests));
    }
    Some(figure)
}

impl Analysis {
    /// What the two samples, taken over the same time, say about the candidate. With too few requests of its own it does
    /// neither pass nor fail, except by its faults and by mirrored requests, if there were enough of these; with too few of the running revision nothing is compared.
    #[must_use]
    pub fn judge(&self, candidate: &Sample, running: &Sample) -> Verdict {
        let (of_mirror, limits): (Vec<_>, Vec<_>) = self
            .limits()
            .into_iter()
            .partition(|limit| limit.metric == Metric::DifferenceRate);
        let differing = of_mirror
            .iter()
            .filter(|_| candidate.mirrored >= self.minimum_samples)
            .flat_map(|limit| limit.failures(candidate, None));
        let has_enough = candidate.requests >= self.minimum_samples;
        let failures: Vec<Failure> = if has_enough {
            let running = (running.requests >= self.minimum_samples.max(1)).then_some(running);
            let failures = limits
                .iter()
                .flat_map(|limit| limit.failures(candidate, running));
            failures.chain(self.points(candidate, running)).collect()
        } else {
            let faults = limits.iter().filter_map(|limit| {
                let max = limit.max.filter(|_| limit.metric == Metric::Faults);
                max.map(|_| Threshold {
                    min: None,
                    ..*limit
                })
            });
            faults
                .flat_map(|limit| limit.failures(candidate, None))
                .collect()
        };
        let failures: Vec<Failure> = failures.into_iter().chain(differing).collect();
        match (failures.is_empty(), has_enough) {
            (false, _) => Verdict::Fail(failures),
            (true, true) => Verdict::Pass,
            (true, false) => Verdict::TooFew,
        }
    }

    /// All limits, those with names of their own first.
    fn limits(&self) -> Vec<Threshold> {
        let success_rate = Threshold {
            min: self.success_rate,
            ..Threshold::new(Metric::SuccessRate)
        };
        let p99 = Threshold {
            max: self.p99.map(milliseconds),
            max_ratio_to_running: self.compare.and_then(|compare| compare.p99),
            ..Threshold::new(Metric::P99)
        };
        let faults = Threshold {
            max: self.faults.map(Thousandths::whole),
            ..Threshold::new(Metric::Faults)
        };
        let named = [success_rate, p99, faults];
        named
            .into_iter()
            .chain(self.metrics.iter().copied())
            .collect()
    }

    fn points(&self, candidate: &Sample, running: Option<&Sample>) -> Option<Failure> {
        let allowed = self.compare?.success_rate?;
        let metric = Metric::SuccessRate;
        let (figure, running) = (metric.of(candidate)?, metric.of(running?)?);
        let is_worse = running.get().saturating_sub(figure.get()) > allowed.get();
        is_worse.then_some(Failure {
            metric,
            figure,
            limit: Limit::Points { running, allowed },
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |figure| self.metric.show(figure);
        write!(f, "{} {} is ", self.metric.words(), show(self.figure))?;
        match self.limit {
            Limit::Max(max) => write!(f, "over {}", show(max)),
            Limit::Min(min) => write!(f, "under {}", show(min)),
            Limit::Points { running, allowed } => {
                let under = Thousandths::new(running.get().saturating_sub(self.figure.get()));
                let running = show(running);
                write!(
                    f,
                    "{under} points under that of the running revision ({running}); {allowed} is allowed"
                )
            }
            Limit::Ratio { running, allowed } => {
                if let Some(times) = times(self.figure, running, allowed) {
                    write!(f, "{times} times")?;
                } else {
                    f.write_str("more than")?;
                }
                write!(f, " that of the running revision ({}", show(running))?;
                if self.metric.is_count() {
                    f.write_str(" in as many requests")?;
                }
                write!(f, "); {allowed} is allowed")
            }
        }
    }
}

/// How many times as much `figure` is, in tenths if that still shows that it is more than is allowed.
fn times(figure: Thousandths, running: Thousandths, allowed: Thousandths) -> Option<Thousandths> {
    if running == Thousandths::default() {
        return None;
    }
    let times = Thousandths::whole(1).scaled(figure.get(), running.get());
    let tenths = Thousandths::new(times.get() / 100 * 100);
    Some(if tenths > allowed { tenths } else { times })
}

#[cfg(test)]
mod tests;
