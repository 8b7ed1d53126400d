//! What a manifest says about the way from one revision to the next.

use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use skep_policy::quote::quoted;
use skep_policy::rollout::{
    Analysis, Compare, Metric, Pause, Plan, Step, Steps, Strategy, Thousandths, Threshold,
};
use skep_policy::{duration, nearest};

use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::{RawAnalysis, RawRollout, RawStep, RawThreshold};
use crate::config::units::Span;

const STRATEGIES: [&str; 3] = ["immediate", "canary", "blue-green"];
const STICKY: [&str; 3] = ["cookie", "header:NAME", "client"];
const TIME_MIN: Duration = Duration::from_millis(10);
const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const STEPS_MAX: usize = 100;
const METRICS_MAX: usize = 32;
/// Flagger's defaults.
const MAX_WEIGHT_DEFAULT: u8 = 50;
const INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// How a new revision takes the old one's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// In which steps, and with which checks.
    pub plan: Plan,
    /// Which requests stay on the same revision.
    pub sticky: Sticky,
    /// Percent of the running revision's requests that the candidate answers, too, for nobody.
    #[serde(default)]
    pub mirror: u8,
    /// Whether it may take from other services what they call.
    pub allow_breaking: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            plan: Plan {
                strategy: Strategy::Immediate,
                analysis: None,
            },
            sticky: Sticky::Request,
            mirror: 0,
            allow_breaking: false,
        }
    }
}

/// Whose requests go to the same revision as long as its weight does not fall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// Nobody's: each request goes where it falls.
    Request,
    /// Those with the same cookie, which the host sets.
    Cookie,
    /// Those with the same value of a header.
    Header(String),
    /// Those from the same address.
    Client,
}

pub(super) fn resolve(raw: RawRollout, scope: &Scope<'_>) -> Result<Rollout, ConfigError> {
    let strategy = strategy(&raw, scope)?;
    let analysis = raw
        .analysis
        .map(|raw| analysis(raw, &scope.below(&["analysis"])));
    let analysis = analysis.transpose()?;
    for (key, is_given) in [
        ("analysis", analysis.is_some()),
        ("mirror", raw.mirror.is_some()),
    ] {
        if strategy == Strategy::Immediate && is_given {
            let what = "an immediate rollout has no time for this: set strategy = \"canary\" or \"blue-green\"";
            return Err(scope.error(&[key], what));
        }
    }
    if raw
        .mirror
        .is_some_and(|percent| !(1..=100).contains(&percent))
    {
        let what = "must be between 1 and 100, in percent of the requests";
        return Err(scope.error(&["mirror"], what));
    }
    let limits = analysis.iter().flat_map(|analysis| &analysis.metrics);
    for (at, limit) in limits.enumerate() {
        if limit.metric == Metric::DifferenceRate && raw.mirror.is_none() {
            let keys = ["analysis", "metric", &at.to_string(), "name"];
            let what = "is of no use without a mirror: add `mirror = 10` under [rollout]";
            return Err(scope.error(&keys, what));
        }
    }
    Ok(Rollout {
        sticky: sticky(raw.sticky.as_deref(), scope)?,
        mirror: raw.mirror.unwrap_or(0),
        allow_breaking: raw.allow_breaking.unwrap_or(false),
        plan: Plan { strategy, analysis },
    })
}

fn strategy(raw: &RawRollout, scope: &Scope<'_>) -> Result<Strategy, ConfigError> {
    let is_linear = raw.step_weight.is_some() || raw.max_weight.is_some() || raw.interval.is_some();
    let name = raw.strategy.as_deref().unwrap_or("immediate");
    let only = |of: &str, key: &str, given: bool| match given && name != of {
        true => Err(scope.error(
            &[key],
            format!("is for strategy = \"{of}\" only: leave it out"),
        )),
        false => Ok(()),
    };
    only("canary", "steps", raw.steps.is_some())?;
    only("canary", "step_weight", raw.step_weight.is_some())?;
    only("canary", "max_weight", raw.max_weight.is_some())?;
    only("canary", "interval", raw.interval.is_some())?;
    only(
        "blue-green",
        "auto_promote_after",
        raw.auto_promote_after.is_some(),
    )?;
    match name {
        "immediate" => Ok(Strategy::Immediate),
        "blue-green" => Ok(Strategy::BlueGreen {
            auto_promote_after: span(raw.auto_promote_after, "auto_promote_after", scope)?,
        }),
        "canary" => {
            let steps = match (&raw.steps, is_linear) {
                (Some(_), true) => {
                    let what =
                        "is given beside step_weight, max_weight or interval: leave out one kind";
                    return Err(scope.error(&["steps"], what));
                }
                (Some(steps), false) => listed(steps, &scope.below(&["steps"]))?,
                (None, _) => linear(raw, scope)?,
            };
            Ok(Strategy::Canary { steps })
        }
        other => Err(unknown("strategy", other, &STRATEGIES, scope)),
    }
}

fn listed(steps: &[RawStep], scope: &Scope<'_>) -> Result<Steps, ConfigError> {
    if steps.len() > STEPS_MAX {
        return Err(scope.error(&[], format!("has more than {STEPS_MAX} steps")));
    }
    let step = |(at, raw): (usize, &RawStep)| {
        let scope = scope.below(&[&at.to_string()]);
        let weight = raw.weight.ok_or_else(|| {
            scope.error(
                &[],
                "has no weight: add `weight = 5`, in percent of the requests",
            )
        })?;
        let pause = span(raw.pause, "pause", &scope)?;
        let pause = pause.map_or(Pause::UntilPromoted, Pause::For);
        Ok(Step { weight, pause })
    };
    let steps: Vec<Step> = steps
        .iter()
        .enumerate()
        .map(step)
        .collect::<Result<_, _>>()?;
    Steps::try_from(steps).map_err(|error| scope.error(&[], error))
}

fn linear(raw: &RawRollout, scope: &Scope<'_>) -> Result<Steps, ConfigError> {
    let Some(step_weight) = raw.step_weight else {
        let what = "says nothing of the steps: add `steps = [{ weight = 5, pause = \"30s\" }]`, or `step_weight = 10`";
        return Err(scope.error(&[], what));
    };
    let max_weight = raw.max_weight.unwrap_or(MAX_WEIGHT_DEFAULT);
    let interval = span(raw.interval, "interval", scope)?.unwrap_or(INTERVAL_DEFAULT);
    Steps::linear(step_weight, max_weight, interval)
        .map_err(|error| scope.error(&["step_weight"], error))
}

fn sticky(given: Option<&str>, scope: &Scope<'_>) -> Result<Sticky, ConfigError> {
    match given {
        None => Ok(Sticky::Request),
        Some("cookie") => Ok(Sticky::Cookie),
        Some("client") => Ok(Sticky::Client),
        Some(other) => match other.strip_prefix("header:").map(HeaderName::try_from) {
            Some(Ok(name)) => Ok(Sticky::Header(name.as_str().to_owned())),
            Some(Err(_)) => {
                let what = format!("{} names no header", quoted(other));
                Err(scope.error(&["sticky"], what))
            }
            None => Err(unknown("sticky", other, &STICKY, scope)),
        },
    }
}

fn analysis(raw: RawAnalysis, scope: &Scope<'_>) -> Result<Analysis, ConfigError> {
    let default = Analysis::default();
    let figure = |keys: &[&str], given: Option<f64>| {
        let figure = given.map(Thousandths::try_from).transpose();
        figure.map_err(|error| scope.error(keys, error))
    };
    let compare = raw.compare.map(|raw| {
        Ok(Compare {
            success_rate: figure(&["compare", "success_rate"], raw.success_rate)?,
            p99: figure(&["compare", "p99"], raw.p99)?,
        })
    });
    let metrics = raw.metric.unwrap_or_default();
    if metrics.len() > METRICS_MAX {
        return Err(scope.error(
            &["metric"],
            format!("lists more than {METRICS_MAX} metrics"),
        ));
    }
    let threshold = |(at, raw): (usize, RawThreshold)| {
        threshold(&raw, &scope.below(&["metric", &at.to_string()]))
    };
    let metrics = metrics.into_iter().enumerate().map(threshold);
    let success_rate = figure(&["success_rate"], raw.success_rate)?;
    Ok(Analysis {
        interval: span(raw.interval, "interval", scope)?.unwrap_or(default.interval),
        threshold: raw.threshold.unwrap_or(default.threshold),
        minimum_samples: raw.minimum_samples.unwrap_or(default.minimum_samples),
        success_rate: success_rate.or(default.success_rate),
        p99: raw.p99.map_or(default.p99, |span| Some(span.0)),
        faults: raw.faults,
        compare: compare.transpose()?,
        metrics: metrics.collect::<Result<_, _>>()?,
    })
}

fn threshold(raw: &RawThreshold, scope: &Scope<'_>) -> Result<Threshold, ConfigError> {
    let Some(name) = &raw.name else {
        return Err(scope.error(
            &[],
            "has no name: add `name = \"cpu_ms\"` or another metric",
        ));
    };
    let metric = Metric::try_from(name.clone()).map_err(|error| scope.error(&["name"], error))?;
    let figure = |key: &str, given: Option<f64>| {
        let figure = given.map(Thousandths::try_from).transpose();
        figure.map_err(|error| scope.error(&[key], error))
    };
    let threshold = Threshold {
        max: figure("max", raw.max)?,
        min: figure("min", raw.min)?,
        max_ratio_to_running: figure("max_ratio", raw.max_ratio)?,
        ..Threshold::new(metric)
    };
    if metric == Metric::DifferenceRate && raw.max_ratio.is_some() {
        let what = "compares with the running revision, which has none: write `max`";
        return Err(scope.error(&["max_ratio"], what));
    }
    if threshold == Threshold::new(metric) {
        return Err(scope.error(&[], "has no limit: add `max`, `min` or `max_ratio`"));
    }
    Ok(threshold)
}

fn span(
    given: Option<Span>,
    key: &str,
    scope: &Scope<'_>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(Span(given)) = given else {
        return Ok(None);
    };
    if (TIME_MIN..=TIME_MAX).contains(&given) {
        return Ok(Some(given));
    }
    let (min, max) = (duration::show(TIME_MIN), duration::show(TIME_MAX));
    let what = format!(
        "must be between {min} and {max}, not {}",
        duration::show(given)
    );
    Err(scope.error(&[key], what))
}

fn unknown(key: &str, given: &str, known: &[&'static str], scope: &Scope<'_>) -> ConfigError {
    let near = nearest::nearest(given, known.iter().copied());
    let hint = near.map_or_else(String::new, |near| format!("did you mean \"{near}\"? "));
    let what = format!(
        "{} is none: {hint}write one of {}",
        quoted(given),
        known.join(", ")
    );
    scope.error(&[key], what)
}
