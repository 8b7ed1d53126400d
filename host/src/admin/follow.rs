//! What happened and what guests print: as lists, and as server-sent events for as long as the client stays.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};

use super::answer::{Answer, AnswerBody};
use super::command::query;
use super::{Api, answer};
use crate::capability::output::Line;
use crate::state::{Event, StateError};
use crate::telemetry;

/// How often something is sent when nothing happens: proxies and clients give up silent connections.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;
/// Events that a client that comes back gets of those it missed.
const MISSED_MAX: u32 = 10_000;
const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";

/// What is asked for of events.
#[derive(Debug, Default)]
struct Ask {
    service: Option<String>,
    after: Option<i64>,
    limit: u32,
}

impl Ask {
    fn of<B>(request: &Request<B>, known: &[&str]) -> Result<Self, Answer> {
        let mut ask = Self {
            limit: LIMIT_DEFAULT,
            ..Self::default()
        };
        let bad = |what: &str| Answer::problem(StatusCode::BAD_REQUEST, what);
        for (name, value) in query(request.uri().query(), known)? {
            match name.as_str() {
                "service" => ask.service = Some(value),
                "after" => {
                    let id = value.parse().map_err(|_| bad("after is no event's id"))?;
                    ask.after = Some(id);
                }
                _ => {
                    let limit = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    let what = format!("limit is to be from 1 to {LIMIT_MAX}");
                    ask.limit = limit.ok_or_else(|| bad(&what))?;
                }
            }
        }
        Ok(ask)
    }
}

impl Api {
    /// `GET /v1/events`.
    pub(super) async fn events<B>(
        &self,
        request: &Request<B>,
    ) -> Result<Response<AnswerBody>, Answer> {
        let mut ask = Ask::of(request, &["service", "after", "limit"])?;
        let state = &self.core.state;
        if !wants_stream(request.headers()) {
            let events = state.events(ask.service, ask.after, ask.limit).await;
            let events = events.map_err(|error| unreadable(&error))?;
            let answer = Answer::json(&json!({ "events": events }));
            return Ok(answer.into_response(request.method()));
        }
        if let Some(last) = request.headers().get(LAST_EVENT_ID) {
            let last = last.to_str().ok().and_then(|last| last.trim().parse().ok());
            ask.after = last.or(ask.after);
        }
        // Before what is missed is read: nothing falls between.
        let live = state.follow();
        let mut missed = Vec::new();
        if ask.after.is_some() {
            let events = state
                .events(ask.service.clone(), ask.after, MISSED_MAX)
                .await;
            missed = events.map_err(|error| unreadable(&error))?;
            missed.reverse();
        }
        let told = missed.last().and_then(|event| event.id).or(ask.after);
        let service = ask.service;
        let is_news = move |event: &Event| {
            let is_of_service = service
                .as_ref()
                .is_none_or(|service| *service == event.service);
            is_of_service && event.id.is_none_or(|id| told.is_none_or(|told| id > told))
        };
        let missed: Vec<Bytes> = missed.iter().map(told_event).collect();
        let live = following(live, move |event| is_news(event).then(|| told_event(event)));
        Ok(self.stream(stream::iter(missed).chain(live)))
    }

    /// `GET /v1/logs`.
    pub(super) fn logs<B>(&self, request: &Request<B>) -> Result<Response<AnswerBody>, Answer> {
        let ask = Ask::of(request, &["service"])?;
        if !wants_stream(request.headers()) {
            let detail = "logs can only be followed: send `accept: text/event-stream`";
            return Err(Answer::problem(StatusCode::NOT_ACCEPTABLE, detail));
        }
        let lines = following(self.core.lines.follow(), move |line: &Line| {
            let is_meant = ask
                .service
                .as_ref()
                .is_none_or(|service| *service == line.service);
            is_meant.then(|| message(None, "log", line))
        });
        Ok(self.stream(lines))
    }

    /// `GET /v1/services/NAME/history`.
    pub(super) async fn history<B>(
        &self,
        name: &str,
        request: &Request<B>,
    ) -> Result<Answer, Answer> {
        let ask = Ask::of(request, &["limit"])?;
        let state = &self.core.state;
        let fail = |error: StateError| unreadable(&error);
        let events = state
            .events(Some(name.to_owned()), None, ask.limit)
            .await
            .map_err(fail)?;
        let revisions = state.revisions(name).await.map_err(fail)?;
        if events.is_empty() && revisions.is_empty() {
            let detail =
                "nothing is known of a service of this name; /v1/services lists those there are";
            return Err(Answer::problem(StatusCode::NOT_FOUND, detail));
        }
        let snapshot = self.core.registry.snapshot();
        let service = snapshot
            .services
            .iter()
            .find(|(other, _)| other.as_str() == name);
        let running = service.and_then(|(_, service)| service.revision.as_ref());
        let answering = service
            .map(|(_, service)| service.answering())
            .unwrap_or_default();
        let revisions = revisions.into_iter().map(|(number, digest)| {
            let state = if running.is_some_and(|running| running.number == number) {
                "running"
            } else if answering.iter().any(|revision| revision.number == number) {
                "candidate"
            } else {
                "kept"
            };
            json!({"revision": number, "digest": digest, "state": state})
        });
        Ok(Answer::json(&json!({
            "service": name,
            "generation": state.generation(name),
            "revisions": revisions.collect::<Vec<_>>(),
            "events": events,
        })))
    }

    /// `GET /v1/audit`.
    pub(super) async fn audit<B>(&self, request: &Request<B>) -> Result<Answer, Answer> {
        let ask = Ask::of(request, &["limit"])?;
        let entries = self.core.state.audited(ask.limit).await;
        let entries = entries.map_err(|error| unreadable(&error))?;
        Ok(Answer::json(&json!({ "entries": entries })))
    }

    fn stream(&self, events: impl Stream<Item = Bytes> + Send + 'static) -> Response<AnswerBody> {
        let beats = stream::unfold((), |()| async {
            tokio::time::sleep(HEARTBEAT).await;
            Some((Bytes::from_static(b":\n\n"), ()))
        });
        let begin = stream::iter([Bytes::from_static(b":\n\n")]);
        let all = begin.chain(stream::select(events, beats));
        let until = self.closing.clone().cancelled_owned();
        let frames = all
            .take_until(until)
            .map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        answer::dress(response.headers_mut(), EVENT_STREAM);
        response
    }
}

/// What comes, as long as it comes; a follower who is too slow is told how much it missed.
fn following<T: Send + Sync + 'static>(
    receiver: Receiver<Arc<T>>,
    show: impl Fn(&T) -> Option<Bytes> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send {
    stream::unfold((receiver, show), |(mut receiver, show)| async {
        loop {
            match receiver.recv().await {
                Ok(one) => {
                    if let Some(bytes) = show(&one) {
                        return Some((bytes, (receiver, show)));
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    let bytes = message(None, "missed", &json!({ "missed": missed }));
                    return Some((bytes, (receiver, show)));
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
}

fn told_event(event: &Event) -> Bytes {
    message(event.id, event.kind.as_str(), event)
}

/// One server-sent event. JSON has no line ends of its own.
fn message(id: Option<i64>, event: &str, data: &impl Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    // Names, numbers and texts: this can't fail.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("{id}event: {event}\ndata: {data}\n\n").into()
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.contains(EVENT_STREAM))
    })
}

pub(super) fn unreadable(error: &StateError) -> Answer {
    let error = telemetry::chain(error);
    tracing::error!(
        error,
        "the state folder could not be read for the admin API"
    );
    Answer::problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the state folder can't be read; see the host's log",
    )
}
