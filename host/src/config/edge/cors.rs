//! Pages on other origins.

use std::time::Duration;

use skep_policy::cors::{Cors, CorsError, Names, OriginPattern};

use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawCors;
use crate::config::units::OneOrMore;

/// What needs no permission of its own.
const METHODS_DEFAULT: [&str; 3] = ["GET", "HEAD", "POST"];
const MAX_AGE_DEFAULT: Duration = Duration::from_secs(600);
/// No browser remembers it for longer.
const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
const NAMES_MAX: usize = 256;

pub(super) fn resolve(raw: RawCors, scope: &Scope<'_>) -> Result<Cors, ConfigError> {
    let origins = list(raw.origins, "origins", scope)?;
    if origins.is_empty() {
        let what = "allows nobody: add `origins = [\"https://example.com\"]`, or `\"*\"`";
        return Err(scope.error(&[], what));
    }
    let max_age = raw.max_age.map_or(MAX_AGE_DEFAULT, |span| span.0);
    if max_age > MAX_AGE_MAX {
        return Err(scope.error(&["max_age"], "must be at most 1d"));
    }
    let origins = origins.iter().enumerate().map(|(at, origin)| {
        OriginPattern::try_from(origin.as_str())
            .map_err(|error| scope.error(&["origins", &at.to_string()], error))
    });
    let methods = match list(raw.methods, "methods", scope)? {
        none if none.is_empty() => Names::methods(METHODS_DEFAULT),
        methods => Names::methods(methods.iter().map(String::as_str)),
    };
    let headers = |given, key: &str| {
        let names = list(given, key, scope)?;
        Names::headers(names.iter().map(String::as_str)).map_err(|error| scope.error(&[key], error))
    };
    let cors = Cors {
        origins: origins.collect::<Result<_, _>>()?,
        methods: methods.map_err(|error| scope.error(&["methods"], error))?,
        headers: headers(raw.headers, "headers")?,
        expose_headers: headers(raw.expose_headers, "expose_headers")?,
        credentials: raw.credentials.unwrap_or(false),
        max_age,
    };
    let wrong = |error: CorsError| scope.error(&["credentials"], error);
    cors.check().map_err(wrong)?;
    Ok(cors)
}

fn list(
    given: Option<OneOrMore>,
    key: &str,
    scope: &Scope<'_>,
) -> Result<Vec<String>, ConfigError> {
    let names = given.map_or_else(Vec::new, |names| names.0);
    match names.len() > NAMES_MAX {
        true => Err(scope.error(&[key], format!("has more than {NAMES_MAX} entries"))),
        false => Ok(names),
    }
}
