//! What the WebSockets of a route may use.

use skep_policy::routes::{Method, RouteSpec};
use skep_policy::websocket::{Origin, Origins, Settings};

use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::{RawWebsocket, RawWebsocketSettings};

/// Allows pages of every site.
const ANY: &str = "*";

pub(super) fn resolve(
    raw: Option<RawWebsocket>,
    spec: &RouteSpec,
    answers_itself: bool,
    scope: &Scope<'_>,
) -> Result<Option<Settings>, ConfigError> {
    let raw = match raw {
        None | Some(RawWebsocket::Is(false)) => return Ok(None),
        Some(RawWebsocket::Is(true)) => RawWebsocketSettings::default(),
        Some(RawWebsocket::With(raw)) => raw,
    };
    if answers_itself {
        let what = "is for the service, which this route never asks: leave it out";
        return Err(scope.error(&["websocket"], what));
    }
    let takes_get = |methods: &Vec<Method>| methods.iter().any(|method| method.as_str() == "GET");
    if !spec.methods.as_ref().is_none_or(takes_get) {
        let what = "begins with GET, which the route does not take: add it to methods";
        return Err(scope.error(&["websocket"], what));
    }
    settings(raw, &scope.below(&["websocket"])).map(Some)
}

fn settings(raw: RawWebsocketSettings, scope: &Scope<'_>) -> Result<Settings, ConfigError> {
    let default = Settings::DEFAULT;
    let settings = Settings {
        connections: raw.connections.unwrap_or(default.connections),
        message: raw.message.map_or(default.message, |size| size.0),
        idle: raw.idle.map_or(default.idle, |span| span.0),
        ping: raw.ping.map_or(default.ping, |span| span.0),
        queue: raw.queue.unwrap_or(default.queue),
        origins: raw
            .origins
            .map_or(Ok(default.origins), |all| origins(&all, scope))?,
    };
    settings
        .check()
        .map_err(|error| scope.error(&[error.key], error.reason()))?;
    Ok(settings)
}

fn origins(texts: &[String], scope: &Scope<'_>) -> Result<Origins, ConfigError> {
    if texts.iter().any(|text| text == ANY) {
        if texts.len() > 1 {
            let what = "has \"*\", which is all, and others: leave them out";
            return Err(scope.error(&["origins"], what));
        }
        return Ok(Origins::Any);
    }
    let read = |(at, text): (usize, &String)| {
        let origin = Origin::try_from(text.as_str());
        origin.map_err(|error| scope.error(&["origins", &at.to_string()], error))
    };
    let those: Result<_, _> = texts.iter().enumerate().map(read).collect();
    those.map(Origins::These)
}
