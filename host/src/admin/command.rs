//! Orders to the deployer, and how they are answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body::Body;
use serde::Deserialize;
use skep_policy::name::ServiceName;

use super::Api;
use super::answer::Answer;
use super::receive::{self, Bundle, Sent};
use super::resource::Command;
use crate::config::service::target::Target;
use crate::config::{Caller, ServiceConfig, service};
use crate::deploy::arrive::Candidate;
use crate::deploy::compile::{Artifact, Digest};
use crate::deploy::order::{Expected, Extent, OrderError, Wanted, What};
use crate::state::Origin;
use crate::telemetry;

/// Services that are deployed together.
const BUNDLE_MAX: usize = 1_000;
/// What a deployment comes from if nothing is said.
const SOURCE_DEFAULT: &str = "admin API";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    to: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Promote {
    #[serde(default)]
    full: bool,
}

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What can be sent.
pub(super) trait Sendable:
    Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + Unpin + 'static
{
}

impl<B> Sendable for B where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>
        + Send
        + Unpin
        + 'static
{
}

impl Api {
    /// `PUT /v1/services/NAME`.
    pub(super) async fn deploy(
        &self,
        name: &str,
        caller: &Caller,
        request: Request<impl Sendable>,
    ) -> Result<Answer, Answer> {
        let name = service_name(name)?;
        let (parts, body) = request.into_parts();
        let expected = expected(&parts.headers)?;
        let sent = receive::deployment(&self.core.state, &parts.headers, body).await?;
        let config = self
            .config(&name, sent.config.as_deref(), sent.digest())
            .await?;
        let source = sent.source.clone();
        let wanted = self.wanted(config, sent);
        let origin = origin(caller, source);
        self.give(What::Deploy(vec![wanted]), origin, expected)
            .await
    }

    /// `POST /v1/deployments`.
    pub(super) async fn deploy_together(
        &self,
        caller: &Caller,
        request: Request<impl Sendable>,
    ) -> Result<Answer, Answer> {
        let (parts, body) = request.into_parts();
        let bundle: Bundle = receive::json(&parts.headers, body).await?;
        if bundle.services.is_empty() || bundle.services.len() > BUNDLE_MAX {
            let detail = format!("a deployment is of 1 to {BUNDLE_MAX} services");
            return Err(Answer::problem(StatusCode::BAD_REQUEST, &detail));
        }
        let mut names = BTreeSet::new();
        let mut all = Vec::new();
        for member in bundle.services {
            if !names.insert(member.name.clone()) {
                let detail = format!("{} is there twice", member.name);
                return Err(Answer::problem(StatusCode::BAD_REQUEST, &detail));
            }
            let known = |digest| Ok((digest, receive::known(&self.core.state, digest)?));
            let component = member.artifact.map(known).transpose()?;
            let config = member.config.as_deref();
            let config = self.config(&member.name, config, member.artifact).await?;
            let sent = Sent {
                component,
                config: None,
                source: None,
                signature: member.signature,
                force: bundle.force,
            };
            all.push(self.wanted(config, sent));
        }
        let source = bundle.source.map(|source| receive::plain(&source));
        let origin = origin(caller, source);
        self.give(What::Deploy(all), origin, Expected::Any).await
    }

    /// `PUT /v1/artifacts/DIGEST`.
    pub(super) async fn keep(
        &self,
        digest: &str,
        request: Request<impl Sendable>,
    ) -> Result<Answer, Answer> {
        let digest: Digest = digest
            .parse()
            .map_err(|error| Answer::problem(StatusCode::BAD_REQUEST, &format!("{error}")))?;
        let (held, bytes) =
            receive::artifact(&self.core.state, digest, request.into_body()).await?;
        self.uploads.keep(held);
        let answer = Answer::json(&serde_json::json!({"digest": digest, "bytes": bytes}));
        Ok(answer.with_status(StatusCode::CREATED))
    }

    /// `DELETE /v1/services/NAME`.
    pub(super) async fn remove(
        &self,
        name: &str,
        caller: &Caller,
        request: Request<impl Sendable>,
    ) -> Result<Answer, Answer> {
        let name = service_name(name)?;
        let expected = expected(request.headers())?;
        let force = match query(request.uri().query(), &["force"])?.first() {
            None => false,
            Some((_, value)) if value == "true" => true,
            Some((_, value)) if value == "false" => false,
            Some(_) => {
                let detail = "force is neither true nor false";
                return Err(Answer::problem(StatusCode::BAD_REQUEST, detail));
            }
        };
        let what = What::Remove(name, force);
        self.give(what, origin(caller, None), expected).await
    }

    /// `POST /v1/services/NAME/COMMAND`.
    pub(super) async fn command(
        &self,
        name: &str,
        command: Command,
        caller: &Caller,
        request: Request<impl Sendable>,
    ) -> Result<Answer, Answer> {
        let name = service_name(name)?;
        let (parts, body) = request.into_parts();
        let expected = expected(&parts.headers)?;
        let what = match command {
            Command::Rollback => {
                let Rollback { to } = receive::json(&parts.headers, body).await?;
                What::Rollback(name, to)
            }
            Command::Promote => {
                let Promote { full } = receive::json(&parts.headers, body).await?;
                What::Promote(name, if full { Extent::Full } else { Extent::Step })
            }
            Command::Pause | Command::Resume | Command::Abort => {
                let Nothing {} = receive::json(&parts.headers, body).await?;
                match command {
                    Command::Pause => What::Pause(name),
                    Command::Resume => What::Resume(name),
                    _ => What::Abort(name),
                }
            }
        };
        self.give(what, origin(caller, None), expected).await
    }

    async fn give(&self, what: What, origin: Origin, expected: Expected) -> Result<Answer, Answer> {
        let done = self.orders.give(what, origin, expected).await;
        let done = done.map_err(|error| refusal(&error))?;
        let answer = Answer::json(&done);
        Ok(match done.services.as_slice() {
            [one] => answer.tagged(one.generation),
            _ => answer,
        })
    }

    /// The configuration that was sent, or else the one that the service has.
    async fn config(
        &self,
        name: &ServiceName,
        sent: Option<&str>,
        digest: Option<Digest>,
    ) -> Result<ServiceConfig, Answer> {
        let core = &self.core;
        let component = digest.map(|digest| core.state.artifacts.path(&digest));
        let target = component.clone().map(Target::Component);
        let snapshot = core.registry.snapshot();
        let running = snapshot
            .services
            .get(name)
            .map(|service| service.config.clone());
        if let (None, Some(running)) = (sent, running) {
            return Ok(ServiceConfig {
                target: target.unwrap_or_else(|| running.target.clone()),
                ..(*running).clone()
            });
        }
        if sent.is_none()
            && let Some(stored) = self.stored(name).await?
        {
            return Ok(ServiceConfig {
                target: target.unwrap_or_else(|| stored.target.clone()),
                ..stored
            });
        }
        let text = sent.unwrap_or_default().to_owned();
        let (name, pool) = (name.clone(), core.config.pool.clone());
        let resolve = move || {
            let config = service::sent(&name, &text, component.as_deref())?;
            service::fits(&config, &pool).map(|()| config)
        };
        let resolved = core
            .state
            .on_disk(resolve)
            .await
            .map_err(|_| Answer::failed())?;
        resolved.map_err(|error| {
            Answer::problem(StatusCode::UNPROCESSABLE_ENTITY, &telemetry::chain(&error))
        })
    }
}

impl Api {
    fn wanted(&self, config: ServiceConfig, sent: Sent) -> Wanted {
        let artifacts = &self.core.state.artifacts;
        let (artifact, held) = match (config.target.component(), sent.component) {
            (Some(path), Some((digest, held))) => {
                let path = path.to_owned();
                (Artifact { digest, path }, held)
            }
            _ => {
                let artifact = Artifact::described(&config.target);
                let held = artifacts.hold(artifact.digest);
                (artifact, held)
            }
        };
        Wanted {
            candidate: Candidate {
                config,
                artifact,
                signature: sent.signature,
            },
            held: Arc::new(held),
            force: sent.force,
        }
    }

    /// The configuration of a service that was deployed and does not run now.
    async fn stored(&self, name: &ServiceName) -> Result<Option<ServiceConfig>, Answer> {
        let state = &self.core.state;
        let unreadable = |error| super::follow::unreadable(&error);
        let rows = state.services().await.map_err(unreadable)?;
        let row = rows.iter().find(|row| row.name == *name);
        let Some(number) = row.and_then(|row| row.current) else {
            return Ok(None);
        };
        let stored = state.revision(name.as_str(), number).await;
        Ok(stored.map_err(unreadable)?.map(|stored| stored.config))
    }
}

fn origin(caller: &Caller, source: Option<String>) -> Origin {
    Origin {
        actor: caller.name.clone(),
        source: source.unwrap_or_else(|| SOURCE_DEFAULT.to_owned()),
    }
}

pub(super) fn service_name(name: &str) -> Result<ServiceName, Answer> {
    ServiceName::try_from(name)
        .map_err(|error| Answer::problem(StatusCode::BAD_REQUEST, &error.to_string()))
}

/// What `If-Match` and `If-None-Match` say (RFC 9110, 13.1).
fn expected(headers: &HeaderMap) -> Result<Expected, Answer> {
    let value = |name| {
        let value: Option<&http::HeaderValue> = headers.get(name);
        value.map(|value| value.to_str().unwrap_or_default().trim())
    };
    match (value(header::IF_MATCH), value(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Expected::Any),
        (None, Some("*")) => Ok(Expected::Absent),
        (Some(tag), None) => {
            let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let number = number.and_then(|number| number.parse().ok());
            let failed = "If-Match is no etag that this host has given";
            let number = number.ok_or_else(|| Answer::problem(StatusCode::BAD_REQUEST, failed))?;
            Ok(Expected::Generation(number))
        }
        _ => {
            let detail = "If-Match takes one etag, If-None-Match only *, and not both";
            Err(Answer::problem(StatusCode::BAD_REQUEST, detail))
        }
    }
}

/// The parameters of a query; each may be there once, and no other.
pub(super) fn query(query: Option<&str>, known: &[&str]) -> Result<Vec<(String, String)>, Answer> {
    let mut found: Vec<(String, String)> = Vec::new();
    let pairs = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty());
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_encoding::percent_decode_str(&text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let (name, value) = (decode(name), decode(value));
        let is_new = found.iter().all(|(other, _)| *other != name);
        if !known.contains(&name.as_str()) || !is_new {
            let detail = format!(
                "{name:?} is no parameter here, or there twice: there are {}",
                known.join(", ")
            );
            return Err(Answer::problem(StatusCode::BAD_REQUEST, &detail));
        }
        found.push((name, value));
    }
    Ok(found)
}

fn refusal(error: &OrderError) -> Answer {
    let status = match error {
        OrderError::Refused { by_host: false, .. } => StatusCode::UNPROCESSABLE_ENTITY,
        OrderError::Refused { by_host: true, .. } | OrderError::State(_) => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        OrderError::Superseded(_) | OrderError::NoRollout(_) | OrderError::NothingOlder(_) => {
            StatusCode::CONFLICT
        }
        OrderError::NoService(_) | OrderError::NoRevision { .. } => StatusCode::NOT_FOUND,
        OrderError::Changed { .. } => StatusCode::PRECONDITION_FAILED,
        OrderError::Starting(_) | OrderError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    let answer = Answer::problem(status, &telemetry::chain(error));
    match error {
        OrderError::Starting(_) | OrderError::Stopping => answer.with(header::RETRY_AFTER, "1"),
        _ => answer,
    }
}
