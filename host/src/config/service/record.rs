//! What a manifest says about the requests that the host keeps, and about those that a candidate answers again.

use std::collections::BTreeSet;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use skep_policy::quote::quoted;

use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawRecord;

const REQUESTS_MAX: u32 = 10_000;
const EVERY_MAX: u32 = 1_000_000;
const NAMES_MAX: usize = 64;

/// Which requests are kept, and what a difference means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How many requests are kept. Zero: none.
    pub requests: u32,
    /// One request in so many is.
    pub every: u32,
    /// Headers whose values are not, beside those that never are. In lower case.
    pub redact: BTreeSet<String>,
    /// Whether a candidate that answers otherwise is refused.
    pub block: bool,
    /// Headers of answers that may differ, beside those that always may. In lower case.
    pub ignore: BTreeSet<String>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            requests: 0,
            every: 1,
            redact: BTreeSet::new(),
            block: false,
            ignore: BTreeSet::new(),
        }
    }
}

pub(super) fn resolve(raw: RawRecord, scope: &Scope<'_>) -> Result<Record, ConfigError> {
    for (key, given, max) in [
        ("requests", raw.requests, REQUESTS_MAX),
        ("every", raw.every, EVERY_MAX),
    ] {
        if given.is_some_and(|given| given < 1 || given > max) {
            return Err(scope.error(&[key], format!("must be between 1 and {max}")));
        }
    }
    if raw.every.is_some() && raw.requests.is_none() {
        let what = "is of no use without requests: add `requests = 200`, or leave it out";
        return Err(scope.error(&["every"], what));
    }
    Ok(Record {
        requests: raw.requests.unwrap_or(0),
        every: raw.every.unwrap_or(1),
        redact: names(raw.redact, "redact", scope)?,
        block: raw.block.unwrap_or(false),
        ignore: names(raw.ignore, "ignore", scope)?,
    })
}

fn names(
    given: Option<Vec<String>>,
    key: &str,
    scope: &Scope<'_>,
) -> Result<BTreeSet<String>, ConfigError> {
    let given = given.unwrap_or_default();
    if given.len() > NAMES_MAX {
        return Err(scope.error(&[key], format!("lists more than {NAMES_MAX} headers")));
    }
    let name = |(at, name): (usize, &String)| match HeaderName::try_from(name) {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => {
            let what = format!("{} names no header", quoted(name));
            Err(scope.error(&[key, &at.to_string()], what))
        }
    };
    given.iter().enumerate().map(name).collect()
}
