//! What services are told of a connection: each time a request, on the revision of the moment.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use skep_policy::name::ServiceName;
use skep_policy::websocket::{ConnectionId, Event, Settings, code, ends_over, is_text};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Service, Snapshot};
use crate::request::body::OutgoingBody;
use crate::request::exchange::Exchange;
use crate::request::headers::RequestId;
use crate::request::journey::{Journey, TraceParent};
use crate::request::run::Answered;
use crate::request::send::Manner;
use crate::request::visit::Visit;
use crate::request::{choose, conclude, dispatch, overload, random};

/// What happens to a connection. Never from outside.
pub(crate) const EVENT: HeaderName = HeaderName::from_static("x-skep-websocket");
/// To which. Never from outside.
pub(crate) const CONNECTION: HeaderName = HeaderName::from_static("x-skep-connection");
/// How it ended, or is to end.
pub(crate) const CLOSE_CODE: HeaderName = HeaderName::from_static("x-skep-close-code");

/// Headers of a handshake that say nothing to a service that does not speak WebSocket itself, something of a body, or which
/// answer is wanted: an answer to a message is none of these, but the whole and as it is.
const OF_HANDSHAKE: [HeaderName; 14] = [
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_ACCEPT,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::ACCEPT_ENCODING,
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// Further tries to tell a service that has too much to do that a connection has ended.
const RETRIES: u32 = 8;
/// How long the first of them waits, about; each next one waits twice as long, and no longer than so many times.
const RETRY_AFTER: (Duration, u32) = (Duration::from_millis(100), 8);

/// Says in a request's headers what happens to a connection.
pub(super) fn say(event: Event, headers: &mut HeaderMap, id: ConnectionId) {
    for name in OF_HANDSHAKE {
        headers.remove(name);
    }
    headers.insert(EVENT, HeaderValue::from_static(event.as_str()));
    // Hexadecimal digits: this can't fail.
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(CONNECTION, id);
    }
}

/// The request that asked for the connection, as the service got it: what is true of it is true of its messages.
pub(super) struct Head {
    pub(super) service: ServiceName,
    uri: Uri,
    headers: Arc<HeaderMap>,
    journey: Journey,
}

impl Head {
    pub(super) fn of<B>(request: &Request<B>, service: &ServiceName, exchange: &Exchange) -> Self {
        Self {
            service: service.clone(),
            uri: request.uri().clone(),
            headers: Arc::new(request.headers().clone()),
            journey: exchange.onward(),
        }
    }

    /// The same after the service has chosen a subprotocol, or none.
    pub(super) fn agreed(mut self, protocol: Option<&HeaderValue>) -> Self {
        let headers = Arc::make_mut(&mut self.headers);
        match protocol {
            Some(protocol) => headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone()),
            None => headers.remove(header::SEC_WEBSOCKET_PROTOCOL),
        };
        self
    }

    /// When the proof of who connected stops to hold, since 1970; None if it does not.
    pub(super) fn until(&self) -> Option<Duration> {
        self.journey.identity.as_ref()?.until
    }

    /// Of a message's request: who sent it, and what leads it to a revision.
    fn journey(&self, snapshot: &Snapshot) -> Journey {
        let of_head = || snapshot.reads_headers.then(|| self.headers.clone());
        Journey {
            trace: TraceParent::of(&self.headers),
            client: self.journey.client,
            identity: self.journey.identity.clone(),
            outside: self.journey.outside.clone().or_else(of_head),
            ..Journey::default()
        }
    }
}

/// What holds for a connection.
pub(super) struct About {
    pub(super) core: Arc<Core>,
    pub(super) head: Arc<Head>,
    pub(super) settings: Settings,
}

impl About {
    /// Bytes of a message.
    pub(super) fn message_max(&self) -> usize {
        usize::try_from(self.settings.message).unwrap_or(usize::MAX)
    }
}

/// What comes of a message.
pub(super) enum Reply {
    Nothing,
    Message(Message),
    /// The connection ends with this code.
    Ends(u16),
}

/// A service that is told what happens to a connection.
pub(super) struct Told {
    core: Arc<Core>,
    head: Arc<Head>,
    id: ConnectionId,
    message_max: usize,
}

impl Told {
    pub(super) fn new(about: &About, id: ConnectionId) -> Self {
        Self {
            core: about.core.clone(),
            head: about.head.clone(),
            id,
            message_max: about.message_max(),
        }
    }

    /// A message has come.
    pub(super) async fn message(self: Arc<Self>, message: Message) -> Reply {
        let (media_type, body) = match message {
            Message::Text(text) => ("text/plain; charset=utf-8", Bytes::from(text)),
            other => ("application/octet-stream", other.into_data()),
        };
        let mut request = self.request(Event::Message, body);
        let media_type = HeaderValue::from_static(media_type);
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, media_type);
        let response = self.ask(request, true).await;
        if let Some(code) = ends_over(response.status().as_u16()) {
            self.discard(response).await;
            return Reply::Ends(code);
        }
        self.reply(response).await
    }

    /// The connection has ended.
    pub(super) async fn disconnect(&self, code: u16) {
        let mut request = self.request(Event::Disconnect, Bytes::new());
        request.headers_mut().insert(CLOSE_CODE, code.into());
        let response = self.ask(request, false).await;
        self.discard(response).await;
    }

    /// Lets the service say what nobody wants to know.
    async fn discard(&self, response: Response<OutgoingBody>) {
        let body = Limited::new(response.into_body(), self.message_max);
        drop(body.collect().await);
    }

    fn request(&self, event: Event, body: Bytes) -> Request<Full<Bytes>> {
        let mut headers = HeaderMap::clone(&self.head.headers);
        say(event, &mut headers, self.id);
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.head.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        request
    }

    /// Has the service answer a request, as any from outside from where its route is known.
    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        may_be_refused: bool,
    ) -> Response<OutgoingBody> {
        let core = &self.core;
        let snapshot = core.registry.snapshot();
        let id = RequestId::new(&core.request_ids);
        let what = (Method::POST, request.uri().path());
        let journey = self.head.journey(&snapshot);
        let exchange = Exchange::new(core, id, what, journey, None);
        let manner = Manner {
            body_idle: core.config.timeouts.body_idle,
            without_body: false,
            may_be_unread: true,
        };
        let answer = pin!(self.reach(&snapshot, &exchange, request, may_be_refused));
        conclude(&exchange, manner, answer).await
    }

    async fn reach(
        &self,
        snapshot: &Arc<Snapshot>,
        exchange: &Arc<Exchange>,
        request: Request<Full<Bytes>>,
        may_be_refused: bool,
    ) -> Result<Answered, Fault> {
        let (core, name) = (&self.core, &self.head.service);
        let service = snapshot.services.get(name).ok_or_else(|| {
            let detail = format!("service {name} is gone, and its WebSockets with it");
            Fault::new(Cause::NotReady, detail)
        })?;
        let chosen = choose::first(core, snapshot, service, exchange)?;
        // Who talks with a component goes on with one for as long as there is one, whatever else is chosen.
        let candidate = service.trial.as_ref().map(|trial| &trial.candidate);
        let all = [Some(chosen), Some(service), candidate];
        let is_component = |service: &&Arc<Service>| service.config.target.kind().is_none();
        let service = all.into_iter().flatten().find(is_component);
        let service = service.ok_or_else(|| {
            let detail = format!("what answers for {name} now is no component and is told nothing");
            Fault::new(Cause::NotReady, detail)
        })?;
        exchange.routed_to(service);
        let visit = Visit::new(core, snapshot, service, exchange, None);
        if !may_be_refused {
            return self.insist(visit, request).await;
        }
        overload::check(service)?;
        let body_idle = core.config.timeouts.body_idle;
        let request = dispatch::bounded(request, service, exchange, body_idle)?;
        visit.reach(request).await
    }

    /// Has a guest answer without asking the service's rules, which are about what clients want, and again while too many
    /// requests wait and there is time.
    async fn insist(
        &self,
        visit: Visit<'_>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answered, Fault> {
        let body_idle = self.core.config.timeouts.body_idle;
        let (service, exchange) = (visit.service, visit.exchange);
        let mut retries = 0;
        loop {
            let request = dispatch::bounded(request.clone(), service, exchange, body_idle)?;
            let fault = match visit.attempt(request).await {
                Err(fault) if fault.cause == Cause::QueueFull => fault,
                answered => return answered,
            };
            // Not all at the same moment: connections often end together.
            let (first, most) = RETRY_AFTER;
            let wait = (first * 2_u32.pow(retries).min(most)).mul_f64(0.5 + random());
            let next = Instant::now() + wait;
            if retries == RETRIES || next >= visit.deadline() {
                return Err(fault);
            }
            retries += 1;
            sleep_until(next).await;
        }
    }

    /// The message that an answer is.
    async fn reply(&self, response: Response<OutgoingBody>) -> Reply {
        let (head, body) = response.into_parts();
        let content_type = head.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let body = match Limited::new(body, self.message_max).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                if error.is::<LengthLimitError>() {
                    self.warn("its answer is larger than [route.websocket] message allows");
                }
                return Reply::Ends(code::FAILED);
            }
        };
        if body.is_empty() {
            return Reply::Nothing;
        }
        if is_encoded(&head.headers) {
            self.warn("its answer has a content-encoding, and messages have none");
            return Reply::Ends(code::FAILED);
        }
        match message(content_type, body) {
            Ok(message) => Reply::Message(message),
            Err(NotText) => {
                self.warn("its answer says that it is text and is not UTF-8");
                Reply::Ends(code::FAILED)
            }
        }
    }

    fn warn(&self, why: &str) {
        let service = self.head.service.as_ref();
        tracing::warn!(target: "skep::websocket", service, connection = %self.id, why, "no message can be made of what the service says");
    }
}

/// Whether a body is not what it is about, but a coding of that.
fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// What is said to be text and is not UTF-8.
#[derive(Debug)]
pub(super) struct NotText;

/// A message of this media type.
pub(super) fn message(content_type: Option<&str>, body: Bytes) -> Result<Message, NotText> {
    if !content_type.is_some_and(is_text) {
        return Ok(Message::Binary(body));
    }
    let text = Utf8Bytes::try_from(body).map_err(|_| NotText)?;
    Ok(Message::Text(text))
}
