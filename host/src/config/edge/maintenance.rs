//! Answers while services are not to be asked.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::config::answer::{self, StaticAnswer};
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::network::{self, Network};
use crate::config::raw::RawMaintenance;

const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(300);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Requests are answered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// What they are answered with; it says in `retry-after` when to come back.
    pub answer: StaticAnswer,
    /// Clients whose requests go their way.
    pub except: Vec<Network>,
}

pub(super) fn resolve(raw: RawMaintenance, scope: &Scope<'_>) -> Result<Maintenance, ConfigError> {
    let retry_after = raw.retry_after.map_or(RETRY_AFTER_DEFAULT, |span| span.0);
    if retry_after > RETRY_AFTER_MAX {
        return Err(scope.error(&["retry_after"], "must be at most 7 days"));
    }
    let raw_answer = answer::Raw {
        status: raw.status,
        headers: raw.headers,
        body: raw.body,
        file: raw.file,
    };
    let mut answer = answer::resolve(raw_answer, StatusCode::SERVICE_UNAVAILABLE, scope)?;
    let says_when = |(name, _): &(String, String)| name.eq_ignore_ascii_case("retry-after");
    if !answer.headers.iter().any(says_when) {
        let seconds = retry_after.as_secs().max(1).to_string();
        answer.headers.push(("retry-after".to_owned(), seconds));
    }
    let except = raw.except.map_or_else(Vec::new, |all| all.0);
    let except = network::resolve(except, "except", scope)?;
    Ok(Maintenance { answer, except })
}
