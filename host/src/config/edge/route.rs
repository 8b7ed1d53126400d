//! What the gateway does with the requests of one route.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_policy::routes::{Method, RouteSpec, Template};
use skep_policy::websocket;

use super::{EdgeConfig, Setting};
use crate::config::answer::{self, StaticAnswer};
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::{RawRedirect, RawRoute};

const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// What the gateway does with the requests of one route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteEdge {
    /// The policies of the route, over those of its service.
    pub policies: EdgeConfig,
    /// The path that the service sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Template>,
    /// What is answered without asking the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<RouteAnswer>,
    /// What its WebSockets may use, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket: Option<websocket::Settings>,
}

impl RouteEdge {
    /// That of a route of which nothing is said.
    pub(in crate::config) fn of_service(policies: &EdgeConfig) -> Self {
        Self {
            policies: policies.clone(),
            ..Self::default()
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What a route answers by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteAnswer {
    /// That what is asked for is elsewhere.
    Redirect {
        /// Where; with the request's query, unless it has one.
        to: Template,
        /// The status: 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// Always the same.
    Respond(StaticAnswer),
}

/// What a file says of a route beside where it is, which is `spec`.
pub(in crate::config) fn resolve(
    raw: RawRoute,
    spec: &RouteSpec,
    of_service: &EdgeConfig,
    scope: &Scope<'_>,
) -> Result<RouteEdge, ConfigError> {
    let mut own = super::resolve(raw.edge.unwrap_or_default(), &scope.below(&["edge"]))?;
    if let Setting::Is(rate) = &mut own.rate_limit {
        rate.route = Some(shown(spec));
    }
    let rewrite = raw.rewrite.map(|text| {
        if spec.strip_prefix {
            return Err(scope.error(
                &["rewrite"],
                "is given beside strip_prefix: leave out one of them",
            ));
        }
        Template::path(&text, &spec.path).map_err(|error| scope.error(&["rewrite"], error))
    });
    let answer = match (raw.redirect, raw.respond) {
        (Some(_), Some(_)) => {
            let what = "is given beside redirect: leave out one of them";
            return Err(scope.error(&["respond"], what));
        }
        (Some(redirect), None) => {
            Some(self::redirect(redirect, spec, &scope.below(&["redirect"]))?)
        }
        (None, Some(respond)) => {
            let scope = scope.below(&["respond"]);
            let answer = answer::resolve(respond, StatusCode::OK, &scope)?;
            Some(RouteAnswer::Respond(answer))
        }
        (None, None) => None,
    };
    if let (Some(_), Some(Ok(_))) = (&answer, &rewrite) {
        return Err(scope.error(
            &["rewrite"],
            "is for the service, which this route never asks: leave it out",
        ));
    }
    Ok(RouteEdge {
        policies: own.over(of_service),
        rewrite: rewrite.transpose()?,
        websocket: super::websocket::resolve(raw.websocket, spec, answer.is_some(), scope)?,
        answer,
    })
}

/// What tells a route from all others.
fn shown(spec: &RouteSpec) -> String {
    let host = spec.host.as_ref().map(ToString::to_string);
    let methods = spec.methods.iter().flatten().map(Method::as_str);
    let methods = methods.collect::<Vec<_>>().join(",");
    format!("{methods} {}{}", host.unwrap_or_default(), spec.path)
}

fn redirect(
    raw: RawRedirect,
    spec: &RouteSpec,
    scope: &Scope<'_>,
) -> Result<RouteAnswer, ConfigError> {
    let Some(to) = raw.to else {
        return Err(scope.error(&[], "leads nowhere: add `to = \"/new/{rest}\"`, or a URL"));
    };
    let status = raw
        .status
        .unwrap_or(StatusCode::PERMANENT_REDIRECT.as_u16());
    if !REDIRECTS.contains(&status) {
        let what = format!("{status} sends nobody elsewhere: use 301, 302, 303, 307 or 308");
        return Err(scope.error(&["status"], what));
    }
    let to = Template::location(&to, &spec.path).map_err(|error| scope.error(&["to"], error))?;
    Ok(RouteAnswer::Redirect { to, status })
}
