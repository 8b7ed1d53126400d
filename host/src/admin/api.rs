//! From a request to its answer: who asks, may they, what is it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode, header};
use serde_json::json;

use super::answer::{Answer, AnswerBody};
use super::command::Sendable;
use super::resource::{PATHS, Resource, is_safe};
use super::{Api, graph, guard, services};
use crate::config::{Caller, Role};
use crate::state::{Audit, Held, now_unix_ms};
use crate::telemetry;
use crate::telemetry::metrics::{self, Surroundings};

const OPEN_API: &str = include_str!("openapi.json");
/// How long a component is kept that was sent and not deployed yet.
const UPLOAD_TIME: Duration = Duration::from_mins(10);
/// Components that are kept so.
const UPLOADS_MAX: usize = 1_000;
const AUDITED_PATH_CHARS_MAX: usize = 256;

/// Components that were sent and not deployed yet.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<Vec<(Instant, Held)>>);

impl Uploads {
    pub(super) fn keep(&self, held: Held) {
        let mut uploads = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        uploads.retain(|(since, _)| since.elapsed() < UPLOAD_TIME);
        if uploads.len() >= UPLOADS_MAX {
            uploads.remove(0);
        }
        uploads.push((Instant::now(), held));
    }
}

impl Api {
    /// Answers one request, and keeps who asked for what if it was to change something.
    pub(super) async fn answer(&self, request: Request<impl Sendable>) -> Response<AnswerBody> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let caller = match self.admitted(&request) {
            Ok(caller) => caller,
            Err(answer) => return answer.into_response(&method),
        };
        let response = match self.granted(&caller, &request) {
            Ok(resource) => self.act(resource, &caller, request).await,
            Err(answer) => Err(answer),
        };
        let response = response.unwrap_or_else(|answer| answer.into_response(&method));
        // What nobody may do to anything is no matter of record.
        let is_order = Resource::at(&path).is_some_and(|resource| resource.takes(&method));
        if is_order && !is_safe(&method) {
            let entry = Audit {
                at_unix_ms: now_unix_ms(),
                actor: caller.name,
                method: method.to_string(),
                path: path.chars().take(AUDITED_PATH_CHARS_MAX).collect(),
                status: response.status().as_u16(),
            };
            self.audited(entry).await;
        }
        response
    }

    /// A component may have come and not be needed.
    fn clear_away(&self) {
        let state = self.core.state.clone();
        // Not joined: what is left is found the next time.
        drop(tokio::spawn(async move { drop(state.collect().await) }));
    }

    async fn audited(&self, entry: Audit) {
        let (actor, method, path, status) =
            (&entry.actor, &entry.method, &entry.path, entry.status);
        tracing::info!(target: "skep::audit", actor, method, path, status);
        if let Err(error) = self.core.state.audit(entry).await {
            let error = telemetry::chain(&error);
            tracing::error!(error, "who asked for what could not be written down");
        }
    }

    /// Who asks; or why the request is not even looked at.
    fn admitted<B>(&self, request: &Request<B>) -> Result<Caller, Answer> {
        if self.loopback && !guard::is_meant_for_this_machine(request) {
            let detail = "the admin API listens on a loopback address and takes requests for `localhost` or an IP address only; \
                          this one names another host, as a web page would that tries to reach it through your browser";
            return Err(Answer::problem(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        if !is_safe(request.method()) && guard::is_from_elsewhere(request) {
            let detail = "this request comes from a page of another site, which may not change anything here";
            return Err(Answer::problem(StatusCode::FORBIDDEN, detail));
        }
        let tokens = &self.core.config.tokens;
        let anonymous = |role| Caller {
            name: "anonymous".to_owned(),
            role,
        };
        if tokens.are_none() {
            return Ok(anonymous(Role::Admin));
        }
        if let Some(caller) =
            guard::bearer(request.headers()).and_then(|given| tokens.identify(given))
        {
            return Ok(caller);
        }
        let resource = Resource::at(request.uri().path());
        let is_open = resource.is_some_and(|resource| resource.role(request.method()).is_none());
        if is_open {
            return Ok(anonymous(Role::Read));
        }
        let detail = "a token of the admin API is needed: send `authorization: Bearer TOKEN`";
        Err(Answer::problem(StatusCode::UNAUTHORIZED, detail)
            .with(header::WWW_AUTHENTICATE, "Bearer realm=\"skep\""))
    }

    /// What is asked for, if it is there and the caller may.
    fn granted(&self, caller: &Caller, request: &Request<impl Sendable>) -> Result<Grant, Answer> {
        let path = request.uri().path();
        let Some(resource) = Resource::at(path) else {
            return Err(Answer::problem(StatusCode::NOT_FOUND, PATHS));
        };
        let method = request.method();
        if !resource.takes(method) {
            let detail = format!("{path} takes {}", resource.methods());
            let answer = Answer::problem(StatusCode::METHOD_NOT_ALLOWED, &detail);
            return Err(answer.with(header::ALLOW, resource.methods()));
        }
        if let Some(role) = resource.role(method).filter(|role| *role > caller.role) {
            let (name, has, needs) = (&caller.name, caller.role.as_str(), role.as_str());
            let detail =
                format!("the token {name} has the role {has}, and this takes the role {needs}");
            return Err(Answer::problem(StatusCode::FORBIDDEN, &detail));
        }
        if is_safe(request.method()) && !request.body().is_end_stream() {
            let detail = "a request that only looks has no body";
            let answer = Answer::problem(StatusCode::PAYLOAD_TOO_LARGE, detail);
            let is_framed = request.version() < http::Version::HTTP_2;
            return Err(if is_framed {
                answer.with(header::CONNECTION, "close")
            } else {
                answer
            });
        }
        Ok(Grant(path.to_owned()))
    }

    async fn act(
        &self,
        Grant(path): Grant,
        caller: &Caller,
        request: Request<impl Sendable>,
    ) -> Result<Response<AnswerBody>, Answer> {
        let method = request.method().clone();
        let resource = Resource::at(&path).ok_or_else(Answer::failed)?;
        let answer = match resource {
            Resource::Events => return self.events(&request).await,
            Resource::Logs => return self.logs(&request),
            Resource::Service(name) if method == Method::PUT => {
                let deployed = self.deploy(&name, caller, request).await;
                if deployed.is_err() {
                    self.clear_away();
                }
                deployed
            }
            Resource::Service(name) if method == Method::DELETE => {
                self.remove(&name, caller, request).await
            }
            Resource::Command(name, command) => self.command(&name, command, caller, request).await,
            Resource::Artifact(digest) => self.keep(digest, request).await,
            Resource::Deployments => self.deploy_together(caller, request).await,
            Resource::History(name) => self.history(&name, &request).await,
            Resource::Audit => self.audit(&request).await,
            looked_at => self.look(&looked_at),
        };
        answer.map(|answer| answer.into_response(&method))
    }

    /// What is answered from memory.
    fn look(&self, resource: &Resource<'_>) -> Result<Answer, Answer> {
        let core = &self.core;
        Ok(match resource {
            Resource::Readiness => readiness(
                *core.first_scan.borrow(),
                core.draining.is_cancelled(),
                services::are_required_ones_well(core),
            ),
            Resource::OpenApi => Answer::of("application/json", OPEN_API.as_bytes().to_vec()),
            Resource::Services => Answer::json(&services::list(core)),
            Resource::Graph => Answer::json(&graph::graph(core)),
            Resource::Service(name) => {
                let detail = services::detail(core, name).ok_or_else(|| {
                    let detail =
                        "there is no service of this name; /v1/services lists those there are";
                    Answer::problem(StatusCode::NOT_FOUND, detail)
                })?;
                let answer = Answer::json(&detail);
                match core.state.generation(name) {
                    Some(generation) => answer.tagged(generation),
                    None => answer,
                }
            }
            Resource::Diff(name) => match core.replays.report(name) {
                Some(report) => Answer::json(&*report),
                None => {
                    let detail = "no candidate of a service of this name has answered recorded requests; see [record]";
                    return Err(Answer::problem(StatusCode::NOT_FOUND, detail));
                }
            },
            Resource::Metrics => {
                let surroundings = Surroundings {
                    connections: self.gateway.connections(),
                    log_lines_dropped: self.log.lines(),
                    started: self.started,
                };
                let body = metrics::render(core, &surroundings).into_bytes();
                Answer::of(metrics::CONTENT_TYPE, body)
            }
            _ => Answer::json(&json!({"status": "ok"})),
        })
    }
}

/// The path of something that the caller may do.
struct Grant(String);

fn readiness(first_scan_done: bool, draining: bool, well: bool) -> Answer {
    let (reason, detail) = match (draining, first_scan_done, well) {
        (true, ..) => ("draining", "the host is shutting down"),
        (false, false, _) => (
            "starting",
            "what was there at the start has not all been deployed or refused yet",
        ),
        (false, true, false) => (
            "unhealthy",
            "a service with [health] required = true is unhealthy; see /v1/services",
        ),
        (false, true, true) => return Answer::json(&json!({"status": "ready"})),
    };
    Answer::problem_for(StatusCode::SERVICE_UNAVAILABLE, detail, Some(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_its_reason() {
        let reason = |answer: Answer| {
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let reason = body["reason"].as_str().map(str::to_owned);
            (answer.status.as_u16(), reason)
        };
        let unready = |why: &str| (503, Some(why.to_owned()));
        assert_eq!(reason(readiness(false, false, true)), unready("starting"));
        assert_eq!(reason(readiness(true, false, true)), (200, None));
        assert_eq!(reason(readiness(true, false, false)), unready("unhealthy"));
        assert_eq!(reason(readiness(true, true, true)), unready("draining"));
        assert_eq!(reason(readiness(false, true, false)), unready("draining"));
    }
}
