//! What a manifest says about faults: what is tried again, refused, or answered in the service's place.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::{Deserialize, Serialize};
use skep_policy::name::ServiceName;
use skep_policy::quote::quoted;
use skep_policy::{breaker, health, nearest, rate, retry};

use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::{RawBreaker, RawFallback, RawHealth, RawRateLimit, RawRetry};
use crate::config::units::Span;
use crate::fault::{Blame, Cause};

mod callee;
mod fallback;

pub use self::callee::CallRules;
pub(super) use self::callee::resolve as callees;
pub use self::fallback::{Fallback, FallbackAnswer};

/// Longest time that a setting here may have.
const TIME_MAX: Duration = Duration::from_secs(3600);
const COUNT_MAX: u32 = 1_000_000;
const HEALTH_INTERVAL_MIN: Duration = Duration::from_millis(10);
const ATTEMPTS_MAX: u32 = 10;
const WINDOW_SECONDS_MAX: u64 = 3600;

/// What is done about faults; nothing unless the manifest says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Tries requests again.
    pub retry: Option<Retry>,
    /// Refuses requests while most fail.
    pub breaker: Option<breaker::Settings>,
    /// Refuses requests that are too many.
    pub rate_limit: Option<RateLimit>,
    /// Answers in the service's place.
    pub fallback: Option<Fallback>,
    /// Refuses requests while checks fail.
    pub health: Option<health::Settings>,
}

impl Tolerance {
    /// Whether nothing is done.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The answer that is always the same, if there is one for requests that failed so.
    #[must_use]
    pub fn instead(&self, cause: Cause) -> Option<&FallbackAnswer> {
        let fallback = self.fallback.as_ref()?;
        let is_static = matches!(fallback.answer, FallbackAnswer::Static(_));
        (is_static && fallback.on.contains(&cause)).then_some(&fallback.answer)
    }
}

/// What is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often, and when.
    #[serde(flatten)]
    pub settings: retry::Settings,
    /// After these faults.
    pub on: BTreeSet<Cause>,
    /// After answers with these statuses.
    pub statuses: BTreeSet<u16>,
    /// Requests with these methods.
    pub methods: BTreeSet<String>,
    /// Requests with any method whose guest has failed before it sent anything to anyone.
    pub retry_unobserved: bool,
}

/// Which requests are counted together, and how many may pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// The buckets.
    #[serde(flatten)]
    pub settings: rate::Settings,
    /// Who has a bucket.
    pub key: RateKey,
}

/// Who has a bucket of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateKey {
    /// Every client's address, and every service that calls.
    Client,
    /// Every value of a header; requests without it have one together.
    Header(String),
    /// Everybody whom `[edge.auth]` has verified; others as clients.
    Identity,
    /// Every value of a claim of their tokens; others as clients.
    Claim(String),
    /// All together.
    All,
}

impl RateKey {
    /// Whether it has to be known who asks.
    #[must_use]
    pub fn is_of_identity(&self) -> bool {
        matches!(self, Self::Identity | Self::Claim(_))
    }
}

pub(super) struct Raw {
    pub(super) retry: Option<RawRetry>,
    pub(super) breaker: Option<RawBreaker>,
    pub(super) rate_limit: Option<RawRateLimit>,
    pub(super) fallback: Option<RawFallback>,
    pub(super) health: Option<RawHealth>,
}

pub(super) fn resolve(
    raw: Raw,
    name: &ServiceName,
    scope: &Scope<'_>,
) -> Result<Tolerance, ConfigError> {
    let at = |key| scope.below(&[key]);
    let retry = raw.retry.map(|raw| retry(&raw, &at("retry")));
    let breaker = raw.breaker.map(|raw| breaker(&raw, &at("breaker")));
    let rate_limit = raw
        .rate_limit
        .map(|raw| rate_limit(&raw, &at("rate_limit")));
    let fallback = raw
        .fallback
        .map(|raw| fallback::resolve(raw, name, &at("fallback")));
    let health = raw.health.map(|raw| health(raw, &at("health")));
    Ok(Tolerance {
        health: health.transpose()?,
        retry: retry.transpose()?,
        breaker: breaker.transpose()?,
        rate_limit: rate_limit.transpose()?,
        fallback: fallback.transpose()?,
    })
}

fn retry(raw: &RawRetry, scope: &Scope<'_>) -> Result<Retry, ConfigError> {
    let default = retry::Settings::default();
    let within = Within(scope);
    let settings = retry::Settings {
        attempts: within.count("attempts", raw.attempts, default.attempts, 2, ATTEMPTS_MAX)?,
        per_try_timeout: match raw.per_try_timeout {
            Some(span) => Some(within.time("per_try_timeout", Some(span.0), span.0)?),
            None => None,
        },
        backoff: within.time("backoff", raw.backoff.map(|span| span.0), default.backoff)?,
        backoff_max: within.time(
            "backoff_max",
            raw.backoff_max.map(|span| span.0),
            default.backoff_max,
        )?,
        budget_percent: within.percent(
            "budget_percent",
            raw.budget_percent,
            default.budget_percent,
        )?,
        budget_min: within.count(
            "budget_min",
            raw.budget_min,
            default.budget_min,
            1,
            COUNT_MAX,
        )?,
    };
    // What never reached a guest, or what a guest made of it.
    let is_for_good = |cause: &Cause| {
        matches!(
            cause,
            Cause::CallLoop | Cause::BreakerOpen | Cause::Unhealthy
        )
    };
    let by_default = |cause: &Cause| cause.blame() == Blame::Guest && !is_for_good(cause);
    let statuses = raw.statuses.clone().unwrap_or_default();
    if let Some(at) = statuses
        .iter()
        .position(|status| !(400..=599).contains(status))
    {
        let what = format!("{} is no status of a failure: use 400 to 599", statuses[at]);
        return Err(scope.error(&["statuses", &at.to_string()], what));
    }
    let idempotent = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
    let methods = raw
        .methods
        .clone()
        .unwrap_or_else(|| idempotent.map(str::to_owned).to_vec());
    for (at, method) in methods.iter().enumerate() {
        if Method::from_bytes(method.as_bytes()).is_err() {
            let what = format!("{} is no method", quoted(method));
            return Err(scope.error(&["methods", &at.to_string()], what));
        }
    }
    Ok(Retry {
        settings,
        on: causes(raw.on.as_deref(), by_default, scope)?,
        statuses: statuses.into_iter().collect(),
        methods: methods.into_iter().collect(),
        retry_unobserved: raw.retry_unobserved.unwrap_or(true),
    })
}

fn breaker(raw: &RawBreaker, scope: &Scope<'_>) -> Result<breaker::Settings, ConfigError> {
    let default = breaker::Settings::default();
    let within = Within(scope);
    let window = match (raw.window_calls, raw.window_time) {
        (None, None) => default.window,
        (Some(calls), None) => {
            breaker::Span::Calls(within.count("window_calls", Some(calls), calls, 1, COUNT_MAX)?)
        }
        (None, Some(time)) => {
            let seconds = time.0.as_secs();
            if time.0.subsec_nanos() > 0 || !(1..=WINDOW_SECONDS_MAX).contains(&seconds) {
                return Err(scope.error(&["window_time"], "must be whole seconds, from 1s to 1h"));
            }
            breaker::Span::Seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
        }
        (Some(_), Some(_)) => {
            let what = "is given beside window_calls: leave out one of them";
            return Err(scope.error(&["window_time"], what));
        }
    };
    let minimum_calls = within.count(
        "minimum_calls",
        raw.minimum_calls,
        default.minimum_calls,
        1,
        COUNT_MAX,
    )?;
    let minimum_calls = match window {
        // More would never be there.
        breaker::Span::Calls(calls) => minimum_calls.min(calls),
        breaker::Span::Seconds(_) => minimum_calls,
    };
    Ok(breaker::Settings {
        window,
        minimum_calls,
        failure_rate: within.percent("failure_rate", raw.failure_rate, default.failure_rate)?,
        slow_call_rate: within.percent(
            "slow_call_rate",
            raw.slow_call_rate,
            default.slow_call_rate,
        )?,
        slow_call_duration: within.time(
            "slow_call_duration",
            raw.slow_call_duration.map(|span| span.0),
            default.slow_call_duration,
        )?,
        open: within.time("open", raw.open.map(|span| span.0), default.open)?,
        half_open_calls: within.count(
            "half_open_calls",
            raw.half_open_calls,
            default.half_open_calls,
            1,
            COUNT_MAX,
        )?,
    })
}

fn health(raw: RawHealth, scope: &Scope<'_>) -> Result<health::Settings, ConfigError> {
    let within = Within(scope);
    let path = raw.path.unwrap_or_else(|| "/".to_owned());
    let is_path = path.starts_with('/') && http::uri::PathAndQuery::try_from(path.as_str()).is_ok();
    if !is_path {
        let what = format!("{} is no path: it begins with a slash", quoted(&path));
        return Err(scope.error(&["path"], what));
    }
    let time = |key, given: Option<Span>, default| {
        within.time(key, given.map(|span| span.0), Duration::from_secs(default))
    };
    let count = |key, given, default| within.count(key, given, default, 1, COUNT_MAX);
    let interval = time("interval", raw.interval, 30)?;
    if interval < HEALTH_INTERVAL_MIN {
        return Err(scope.error(&["interval"], "must be at least 10ms"));
    }
    Ok(health::Settings {
        path,
        interval,
        timeout: time("timeout", raw.timeout, 5)?,
        unhealthy_threshold: count("unhealthy_threshold", raw.unhealthy_threshold, 3)?,
        healthy_threshold: count("healthy_threshold", raw.healthy_threshold, 2)?,
        required: raw.required.unwrap_or(false),
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 1 and a million"
)]
pub(in crate::config) fn rate_limit(
    raw: &RawRateLimit,
    scope: &Scope<'_>,
) -> Result<RateLimit, ConfigError> {
    let Some(rate) = raw.requests_per_second else {
        let what = "has no rate: add `requests_per_second = 100`";
        return Err(scope.error(&[], what));
    };
    if !(0.001..=f64::from(COUNT_MAX)).contains(&rate) {
        let what = format!("must be between 0.001 and {COUNT_MAX}");
        return Err(scope.error(&["requests_per_second"], what));
    }
    let burst = raw.burst.unwrap_or(rate.ceil() as u32);
    let key = rate_key(raw.key.as_deref(), scope)?;
    Ok(RateLimit {
        settings: rate::Settings {
            interval: Duration::from_secs_f64(1.0 / rate),
            burst: Within(scope).count("burst", Some(burst), burst, 1, COUNT_MAX)?,
        },
        key,
    })
}

fn rate_key(given: Option<&str>, scope: &Scope<'_>) -> Result<RateKey, ConfigError> {
    let given = given.unwrap_or("client");
    match given {
        "client" => return Ok(RateKey::Client),
        "all" => return Ok(RateKey::All),
        "identity" => return Ok(RateKey::Identity),
        _ => {}
    }
    if let Some(claim) = given.strip_prefix("claim:")
        && !claim.is_empty()
    {
        return Ok(RateKey::Claim(claim.to_owned()));
    }
    if let Some(name) = given.strip_prefix("header:")
        && let Ok(name) = HeaderName::try_from(name)
    {
        return Ok(RateKey::Header(name.to_string()));
    }
    let what = format!(
        "{} is no key: use \"client\", \"all\", \"identity\", \"claim:NAME\", or \"header:NAME\"",
        quoted(given)
    );
    Err(scope.error(&["key"], what))
}

/// The causes of these names, or those that are meant if none are named.
fn causes(
    names: Option<&[String]>,
    by_default: impl Fn(&Cause) -> bool,
    scope: &Scope<'_>,
) -> Result<BTreeSet<Cause>, ConfigError> {
    let Some(names) = names else {
        return Ok(Cause::ALL.into_iter().filter(by_default).collect());
    };
    let cause = |(at, name): (usize, &String)| {
        Cause::named(name).ok_or_else(|| {
            let near = nearest::nearest(name, Cause::ALL.iter().map(|cause| cause.as_str()));
            let hint = near.map_or_else(String::new, |near| format!(": did you mean \"{near}\"?"));
            let what = format!("{} is no fault{hint}", quoted(name));
            scope.error(&["on", &at.to_string()], what)
        })
    };
    names.iter().enumerate().map(cause).collect()
}

/// Bounds of settings, and what is said of those outside.
struct Within<'a>(&'a Scope<'a>);

impl Within<'_> {
    fn count(
        &self,
        key: &str,
        given: Option<u32>,
        default: u32,
        min: u32,
        max: u32,
    ) -> Result<u32, ConfigError> {
        let count = given.unwrap_or(default);
        if (min..=max).contains(&count) {
            return Ok(count);
        }
        let what = format!("must be between {min} and {max}, not {count}");
        Err(self.0.error(&[key], what))
    }

    fn percent(&self, key: &str, given: Option<u8>, default: u8) -> Result<u8, ConfigError> {
        let percent = given.unwrap_or(default);
        if (1..=100).contains(&percent) {
            return Ok(percent);
        }
        let what = format!("is a percentage: must be between 1 and 100, not {percent}");
        Err(self.0.error(&[key], what))
    }

    fn time(
        &self,
        key: &str,
        given: Option<Duration>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        let time = given.unwrap_or(default);
        if !time.is_zero() && time <= TIME_MAX {
            return Ok(time);
        }
        Err(self.0.error(&[key], "must be between 1ns and 1h"))
    }
}
