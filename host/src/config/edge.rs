//! Policies of the gateway: what holds for all routes, for those of a service, and for one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use skep_policy::coding::Compression;
use skep_policy::cors::Cors;
use skep_policy::idempotency::Idempotency;
use skep_policy::nearest;
use skep_policy::quote::quoted;

use super::document::Scope;
use super::error::ConfigError;
use super::raw::RawEdge;
use super::service::tolerance::{self, RateLimit};

pub(crate) use self::auth::htpasswd;
pub use self::auth::{ApiKeys, Auth, Basic, Jwt, KeySource, Location, PasswordHash, Users};
pub use self::headers::HeaderEdits;
pub use self::maintenance::Maintenance;
pub(super) use self::route::resolve as resolve_route;
pub use self::route::{RouteAnswer, RouteEdge};

mod auth;
mod compression;
mod cors;
mod headers;
mod idempotency;
mod maintenance;
mod route;
mod websocket;

/// The names of policies: their tables', and what `off` takes.
const POLICIES: [&str; 8] = [
    "maintenance",
    "cors",
    "auth",
    "rate_limit",
    "idempotency",
    "request_headers",
    "response_headers",
    "compression",
];

/// What one `[edge]` says, or several that lie over each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgeConfig {
    /// Requests are answered for, since the service is not to be asked.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub maintenance: Setting<Maintenance>,
    /// Which pages on other origins may read answers.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub cors: Setting<Cors>,
    /// Which answers are sent in a content coding.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub compression: Setting<Compression>,
    /// Who may come in.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub auth: Setting<Auth>,
    /// Requests that are too many are refused.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub rate_limit: Setting<EdgeRate>,
    /// Which requests are carried out once, by their keys.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub idempotency: Setting<Idempotency>,
    /// What is changed of a request's headers before the service gets them.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub request_headers: Setting<HeaderEdits>,
    /// What is changed of an answer's headers before the client gets them.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub response_headers: Setting<HeaderEdits>,
}

/// A limit of requests from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRate {
    /// The limit.
    pub limit: RateLimit,
    /// The one route whose requests count, if not all do that it holds for.
    pub route: Option<String>,
}

/// What is said of one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setting<T> {
    /// Nothing: what lies below holds.
    #[default]
    Inherited,
    /// It does not hold, whatever lies below.
    Off,
    /// It holds like this.
    Is(T),
}

impl<T> Setting<T> {
    /// What holds, if it does.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(policy) => Some(policy),
            Self::Inherited | Self::Off => None,
        }
    }

    fn is_inherited(&self) -> bool {
        matches!(self, Self::Inherited)
    }
}

impl<T: Clone> Setting<T> {
    fn over(&self, below: &Self) -> Self {
        match self {
            Self::Inherited => below.clone(),
            own => own.clone(),
        }
    }
}

impl EdgeConfig {
    /// Whether no policy holds.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.maintenance.get().is_none()
            && self.cors.get().is_none()
            && self.compression.get().is_none()
            && self.auth.get().is_none()
            && self.rate_limit.get().is_none()
            && self.idempotency.get().is_none()
            && self.request_headers.get().is_none()
            && self.response_headers.get().is_none()
    }

    /// This where it says something, and what lies below elsewhere.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        Self {
            maintenance: self.maintenance.over(&below.maintenance),
            cors: self.cors.over(&below.cors),
            compression: self.compression.over(&below.compression),
            auth: self.auth.over(&below.auth),
            rate_limit: self.rate_limit.over(&below.rate_limit),
            idempotency: self.idempotency.over(&below.idempotency),
            request_headers: self.request_headers.over(&below.request_headers),
            response_headers: self.response_headers.over(&below.response_headers),
        }
    }
}

pub(super) fn resolve(raw: RawEdge, scope: &Scope<'_>) -> Result<EdgeConfig, ConfigError> {
    let reader = Reader {
        off: off(&raw, scope)?,
        scope,
    };
    Ok(EdgeConfig {
        maintenance: reader.setting("maintenance", raw.maintenance, maintenance::resolve)?,
        cors: reader.setting("cors", raw.cors, cors::resolve)?,
        compression: reader.setting("compression", raw.compression, compression::resolve)?,
        auth: reader.setting("auth", raw.auth, auth::resolve)?,
        rate_limit: reader.setting("rate_limit", raw.rate_limit, |raw, scope| {
            Ok(EdgeRate {
                limit: tolerance::rate_limit(&raw, scope)?,
                route: None,
            })
        })?,
        idempotency: reader.setting("idempotency", raw.idempotency, idempotency::resolve)?,
        request_headers: reader.setting(
            "request_headers",
            raw.request_headers,
            headers::request,
        )?,
        response_headers: reader.setting(
            "response_headers",
            raw.response_headers,
            headers::response,
        )?,
    })
}

/// Reads the policies of one `[edge]`.
struct Reader<'a> {
    off: BTreeSet<String>,
    scope: &'a Scope<'a>,
}

impl Reader<'_> {
    fn setting<R, T>(
        &self,
        name: &str,
        raw: Option<R>,
        resolve: impl FnOnce(R, &Scope<'_>) -> Result<T, ConfigError>,
    ) -> Result<Setting<T>, ConfigError> {
        match (raw, self.off.contains(name)) {
            (Some(_), true) => {
                let what = format!(
                    "turns {name} off, and the table {name} beside it says how it is: leave out one of them"
                );
                Err(self.scope.error(&["off"], what))
            }
            (Some(raw), false) => resolve(raw, &self.scope.below(&[name])).map(Setting::Is),
            (None, true) => Ok(Setting::Off),
            (None, false) => Ok(Setting::Inherited),
        }
    }
}

fn off(raw: &RawEdge, scope: &Scope<'_>) -> Result<BTreeSet<String>, ConfigError> {
    let names = raw.off.clone().map_or_else(Vec::new, |names| names.0);
    for (at, name) in names.iter().enumerate() {
        if POLICIES.contains(&name.as_str()) {
            continue;
        }
        let near = nearest::nearest(name, POLICIES.iter().copied());
        let hint = near.map_or_else(String::new, |near| format!("did you mean \"{near}\"? "));
        let what = format!(
            "{} is no policy: {hint}write one of {}",
            quoted(name),
            POLICIES.join(", ")
        );
        return Err(scope.error(&["off", &at.to_string()], what));
    }
    Ok(names.into_iter().collect())
}
