//! A WebSocket to a server: the host asks for it in the client's place, with a key of its own and no extensions.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::upgrade::Upgraded;
use skep_policy::websocket::Switched;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::Turn;
use crate::fault::{Cause, Fault};
use crate::request::websocket::event::{CONNECTION, EVENT};
use crate::telemetry;

/// Goes with a request whose client asks for a WebSocket, as an extension: no guest can make one.
#[derive(Clone, Copy)]
pub(in crate::request) struct Opening;

/// Goes with an answer in which a server agrees to a WebSocket, as an extension: no guest can make one.
#[derive(Clone)]
pub(in crate::request) struct Opened(Arc<Mutex<Option<(Upgraded, Turn)>>>);

impl Opened {
    pub(super) fn new(upgraded: Upgraded, turn: Turn) -> Self {
        Self(Arc::new(Mutex::new(Some((upgraded, turn)))))
    }

    /// The connection that an answer opens, if it does.
    pub(in crate::request) fn take<B>(response: &mut Response<B>) -> Option<(Upgraded, Turn)> {
        let Self(opened) = response.extensions_mut().remove()?;
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.take()
    }
}

/// A handshake that has been begun.
pub(super) struct Handshake {
    /// What the server is to prove with that it has read the key.
    accept: String,
}

impl Handshake {
    /// Makes a handshake of a request that is to be one.
    pub(super) fn begin<B>(request: &mut Request<B>) -> Result<Option<Self>, Fault> {
        let Some(Opening) = request.extensions_mut().remove() else {
            return Ok(None);
        };
        let key = generate_key();
        let accept = derive_accept_key(key.as_bytes());
        // Letters and digits in base64: this can't fail.
        let key =
            HeaderValue::try_from(key).map_err(|error| Fault::new(Cause::HostFailed, error))?;
        let headers = request.headers_mut();
        headers.remove(EVENT);
        headers.remove(CONNECTION);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let version = HeaderValue::from_static("13");
        headers.insert(header::SEC_WEBSOCKET_VERSION, version);
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        Ok(Some(Self { accept }))
    }

    /// The connection, if a server agrees to one; its answer is one of success then. Whatever else it answers is the
    /// client's: one that asks where there is nothing to open must not make the server look as if it failed.
    ///
    /// # Errors
    /// What is wrong with an answer that switches protocols.
    pub(super) async fn end<B>(
        self,
        response: &mut Response<B>,
    ) -> Result<Option<Upgraded>, String> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(None);
        }
        let said = |name| said(response.headers(), &name);
        let switched = Switched {
            connection: said(header::CONNECTION),
            upgrade: said(header::UPGRADE),
            accept: said(header::SEC_WEBSOCKET_ACCEPT),
            extensions: said(header::SEC_WEBSOCKET_EXTENSIONS),
        };
        let checked = switched.check(&self.accept);
        checked.map_err(|unsound| unsound.to_string())?;
        *response.status_mut() = StatusCode::OK;
        let upgraded = hyper::upgrade::on(response).await;
        upgraded.map(Some).map_err(|error| telemetry::chain(&error))
    }
}

/// The values of a header that are text; what is not is none of those that are known.
fn said<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap_or("?")).collect()
}
