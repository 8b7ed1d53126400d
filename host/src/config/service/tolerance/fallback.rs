//! Answers in a service's place.

use std::collections::BTreeSet;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_policy::name::ServiceName;

use super::causes;
use crate::config::answer::{self, StaticAnswer};
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawFallback;
use crate::fault::Cause;

/// An answer in the service's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// For requests that failed so.
    pub on: BTreeSet<Cause>,
    /// What is answered.
    pub answer: FallbackAnswer,
}

/// What is answered in a service's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FallbackAnswer {
    /// What another service answers.
    Service(ServiceName),
    /// Always the same.
    Static(StaticAnswer),
}

pub(super) fn resolve(
    raw: RawFallback,
    of: &ServiceName,
    scope: &Scope<'_>,
) -> Result<Fallback, ConfigError> {
    let on = causes(
        raw.on.as_deref(),
        // Who is not known gets nothing in a service's place unless the manifest names that.
        |cause| cause.status().is_server_error() && *cause != Cause::IdentityUnknown,
        scope,
    )?;
    let own = answer::Raw {
        status: raw.status,
        headers: raw.headers,
        body: raw.body,
        file: raw.file,
    };
    let answer = match (raw.service, own != answer::Raw::default()) {
        (Some(_), true) => {
            let what = "is given beside status, headers, body or file: leave out one kind";
            return Err(scope.error(&["service"], what));
        }
        (None, false) => {
            let what = "answers nothing: add `service = \"NAME\"`, or `status`, `headers` and `body` or `file`";
            return Err(scope.error(&[], what));
        }
        (Some(service), false) if service == of.as_str() => {
            return Err(scope.error(&["service"], "is the service itself: name another"));
        }
        (Some(service), false) => FallbackAnswer::Service(
            ServiceName::try_from(service).map_err(|error| scope.error(&["service"], error))?,
        ),
        (None, true) => FallbackAnswer::Static(answer::resolve(own, StatusCode::OK, scope)?),
    };
    Ok(Fallback { on, answer })
}
