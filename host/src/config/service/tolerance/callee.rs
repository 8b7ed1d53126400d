//! What a manifest says about calls to one other service.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skep_policy::name::ServiceName;
use skep_policy::quote::quoted;

use super::{COUNT_MAX, FallbackAnswer, Raw, Tolerance, Within};
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawCallee;
use crate::config::service::Allow;

/// What is done about the calls to one service, before that service's own rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRules {
    /// Calls that may be under way; further ones are refused.
    pub concurrency: Option<u32>,
    /// Longest time to the head of an answer, all tries together.
    pub timeout: Option<Duration>,
    /// What is done about faults.
    pub tolerance: Tolerance,
}

pub(in crate::config::service) fn resolve(
    raw: BTreeMap<String, RawCallee>,
    allow: &Allow,
    name: &ServiceName,
    scope: &Scope<'_>,
) -> Result<BTreeMap<ServiceName, CallRules>, ConfigError> {
    let rules = raw.into_iter().map(|(callee, raw)| {
        let Some(allowed) = allow.services.get(callee.as_str()) else {
            let what = format!(
                "{} is not on the list of `services` under [allow]: add it there",
                quoted(&callee)
            );
            return Err(scope.error(&[&callee], what));
        };
        let scope = scope.below(&[&callee]);
        let rules = one(raw, name, &scope)?;
        let fallback = rules.tolerance.fallback.as_ref();
        let answer = fallback.map(|fallback| &fallback.answer);
        if matches!(answer, Some(FallbackAnswer::Service(other)) if other == allowed) {
            let what = "is the service that was called: name another";
            return Err(scope.error(&["fallback", "service"], what));
        }
        Ok((allowed.clone(), rules))
    });
    rules.collect()
}

fn one(raw: RawCallee, name: &ServiceName, scope: &Scope<'_>) -> Result<CallRules, ConfigError> {
    let within = Within(scope);
    let concurrency = raw.concurrency;
    let concurrency =
        concurrency.map(|given| within.count("concurrency", Some(given), given, 1, COUNT_MAX));
    let timeout = raw
        .timeout
        .map(|span| within.time("timeout", Some(span.0), span.0));
    let faults = Raw {
        retry: raw.retry,
        breaker: raw.breaker,
        rate_limit: raw.rate_limit,
        fallback: raw.fallback,
        health: None,
    };
    Ok(CallRules {
        concurrency: concurrency.transpose()?,
        timeout: timeout.transpose()?,
        tolerance: super::resolve(faults, name, scope)?,
    })
}
