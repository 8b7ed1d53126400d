//! WebSockets: the host speaks them with clients and tells services by requests what happens, one message a request. So a
//! connection outlives instances and revisions, and every message has the rules, limits and records of a request. A server
//! elsewhere speaks them itself: what comes from it or goes there are the messages as they are.
//!
//! A connection lives in the task and on the lane of the HTTP connection that it was.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use skep_policy::websocket::{Event, Handshake, Offer, Refusal, Settings, is_protocol};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use wasmtime_wasi_http::WasiBody;

pub(crate) use self::connections::Connections;
pub(crate) use self::session::Session;

use self::event::{About, Head};
use super::backend::upstream::{Opened, Opening};
use super::run::Answered;
use super::run::sender::Sender;
use super::visit::Visit;
use crate::fault::{Cause, Fault};

mod connections;
pub(super) mod event;
pub(crate) mod push;
mod server;
mod session;

/// A handshake that can be answered with a WebSocket, if the service wants that.
pub(super) struct Asked {
    settings: Settings,
    /// The value of `sec-websocket-accept`.
    accept: HeaderValue,
    protocols: Vec<String>,
    upgrade: OnUpgrade,
}

impl Asked {
    /// What a request on a route with these settings asks for. None if it is a request as any other.
    ///
    /// # Errors
    /// [`Cause::MalformedRequest`], [`Cause::UpgradeVersion`] or [`Cause::ForeignOrigin`].
    pub(super) fn of(
        settings: &Settings,
        request: &mut Request<Incoming>,
        (scheme, host): (&str, &str),
    ) -> Result<Option<Self>, Fault> {
        if !request.headers().contains_key(header::UPGRADE) {
            return Ok(None);
        }
        let offer = handshake(request)?.read().map_err(|refusal| {
            let cause = match refusal {
                Refusal::Version => Cause::UpgradeVersion,
                _ => Cause::MalformedRequest,
            };
            Fault::new(cause, refusal)
        })?;
        let Some(offer) = offer else { return Ok(None) };
        if !settings.admits(offer.origin, scheme, host) {
            let origin = offer.origin.unwrap_or_default();
            let detail = format!(
                "origin {origin:?} is none of [route.websocket] origins for {scheme}://{host}"
            );
            return Err(Fault::new(Cause::ForeignOrigin, detail));
        }
        let Offer { key, protocols, .. } = offer;
        // Letters and digits in base64: this can't fail.
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
        let accept = accept.map_err(|error| Fault::new(Cause::HostFailed, error))?;
        let protocols = protocols.into_iter().map(str::to_owned).collect();
        Ok(Some(Self {
            settings: settings.clone(),
            accept,
            protocols,
            upgrade: hyper::upgrade::on(request),
        }))
    }

    /// Asks the service whether it wants the connection. Its answer is the client's, unless it is a guest's of success or
    /// a server's that opens one: then the answer switches protocols, and whoever sends it must see to it that
    /// [`Session::run`] follows.
    ///
    /// # Errors
    /// [`Cause::SocketsFull`], and whatever keeps a request from its answer.
    pub(super) async fn connect(
        self,
        visit: Visit<'_>,
        mut request: Request<WasiBody>,
    ) -> Result<Answered, Fault> {
        let (core, service) = (visit.core, visit.service);
        let (seat, outgoing) = core.connections.enter(service, &self.settings)?;
        event::say(Event::Connect, request.headers_mut(), seat.id);
        let head = Head::of(&request, &service.name, visit.exchange);
        request.extensions_mut().insert(Opening);
        let mut answered = visit.reach(request).await?;
        let opened = Opened::take(&mut answered.response);
        // A page of the host's own is no consent, nor a guest's in the place of a server.
        let is_component = service.config.target.kind().is_none();
        let is_guests = is_component && matches!(answered.sender, Sender::Guest(_));
        let can_agree = opened.is_some() || is_guests;
        if !can_agree || !answered.response.status().is_success() {
            return Ok(answered);
        }
        let protocol = match self.protocol(answered.response.headers()) {
            Ok(protocol) => protocol,
            Err(fault) => {
                answered.sender.release();
                return Err(fault);
            }
        };
        let head = head.agreed(protocol.as_ref());
        let switch = Switch {
            accept: self.accept,
            protocol,
        };
        let about = About {
            core: core.clone(),
            head: Arc::new(head),
            settings: self.settings,
        };
        let session = Session::new(about, (seat, outgoing), self.upgrade, opened);
        let pledge = Pledge {
            switch: Arc::new(switch),
            session: Arc::new(Mutex::new(Some(session))),
        };
        // There is no body, whatever the service says of it.
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
            answered.response.headers_mut().remove(name);
        }
        *answered.response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answered.response.extensions_mut().insert(pledge);
        Ok(answered)
    }

    /// The subprotocol that the service has chosen, if it has.
    fn protocol(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Fault> {
        let mut chosen = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let Some(first) = chosen.next() else {
            return Ok(None);
        };
        let name = first.to_str().unwrap_or_default();
        let is_offered = self.protocols.iter().any(|offered| offered == name);
        if is_offered && is_protocol(name) && chosen.next().is_none() {
            return Ok(Some(first.clone()));
        }
        let detail = "sec-websocket-protocol is not one of those that the client offers";
        Err(Fault::new(Cause::InvalidResponse, detail))
    }
}

/// What a request says, if all of it is text.
fn handshake(request: &Request<Incoming>) -> Result<Handshake<'_>, Fault> {
    let values = |name: header::HeaderName| {
        let values = request.headers().get_all(name).iter();
        let texts = values.map(HeaderValue::to_str).collect::<Result<_, _>>();
        texts.map_err(|error| Fault::new(Cause::MalformedRequest, error))
    };
    Ok(Handshake {
        method: request.method().as_str(),
        is_http_11: request.version() == Version::HTTP_11,
        has_body: !request.body().is_end_stream(),
        connection: values(header::CONNECTION)?,
        upgrade: values(header::UPGRADE)?,
        key: values(header::SEC_WEBSOCKET_KEY)?,
        version: values(header::SEC_WEBSOCKET_VERSION)?,
        protocol: values(header::SEC_WEBSOCKET_PROTOCOL)?,
        origin: values(header::ORIGIN)?,
    })
}

/// Goes with an answer that switches protocols, as an extension: no guest can make one.
#[derive(Clone)]
pub(crate) struct Pledge {
    switch: Arc<Switch>,
    session: Arc<Mutex<Option<Session>>>,
}

struct Switch {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
}

impl Pledge {
    /// Whether an answer switches protocols.
    pub(super) fn is_with<B>(response: &Response<B>) -> bool {
        response.extensions().get::<Self>().is_some()
    }

    fn say(&self, headers: &mut HeaderMap) {
        for name in [
            header::SEC_WEBSOCKET_EXTENSIONS,
            header::SEC_WEBSOCKET_PROTOCOL,
        ] {
            headers.remove(name);
        }
        let Switch { accept, protocol } = &*self.switch;
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
        if let Some(protocol) = protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
    }

    /// What is to follow an answer on its connection, once it is sent or can't be. The answer is complete with this.
    pub(super) fn take<B>(response: &mut Response<B>) -> Option<Session> {
        let pledge: Self = response.extensions_mut().remove()?;
        pledge.say(response.headers_mut());
        let mut session = pledge
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        session.take()
    }
}

/// Says which version there is to who asks for another.
pub(super) fn say_version(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::UPGRADE, "websocket"),
        (header::CONNECTION, "upgrade"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
