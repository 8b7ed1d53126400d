//! Requests that are carried out once.

use std::time::Duration;

use skep_policy::idempotency::Idempotency;
use skep_policy::quote::quoted;
use skep_policy::routes::Method;
use skep_policy::size::MIB;

use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawIdempotency;

const EXPIRY_MIN: Duration = Duration::from_secs(1);
const EXPIRY_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// What is held in memory for each request.
const BODY_MAX_MAX: u64 = 16 * MIB;
/// Methods that change nothing, however often.
const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

pub(super) fn resolve(raw: RawIdempotency, scope: &Scope<'_>) -> Result<Idempotency, ConfigError> {
    let mut policy = Idempotency::default();
    policy.required = raw.required.unwrap_or(policy.required);
    if let Some(names) = raw.methods {
        let methods = names.0.iter().enumerate().map(|(at, name)| {
            let keys = ["methods", &at.to_string()];
            if SAFE.contains(&name.as_str()) {
                let what = format!("{} changes nothing and needs no key", quoted(name));
                return Err(scope.error(&keys, what));
            }
            Method::try_from(name.as_str()).map_err(|error| scope.error(&keys, error))
        });
        policy.methods = methods.collect::<Result<_, _>>()?;
        if policy.methods.is_empty() {
            return Err(scope.error(&["methods"], "names no method"));
        }
    }
    if let Some(expiry) = raw.expiry {
        policy.expiry = expiry.0;
        if !(EXPIRY_MIN..=EXPIRY_MAX).contains(&expiry.0) {
            return Err(scope.error(&["expiry"], "must be from 1s to 30d"));
        }
    }
    if let Some(body_max) = raw.body_max {
        policy.body_max = body_max.0;
        if body_max.0 > BODY_MAX_MAX {
            return Err(scope.error(&["body_max"], "must be at most 16MiB"));
        }
    }
    Ok(policy)
}
