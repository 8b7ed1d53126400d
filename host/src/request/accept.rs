//! Connections: taken in, spread over lanes, bounded in number, header size and silence, and told when to end.
//!
//! A lane is a thread with a runtime of its own. A connection stays on its lane, and so do the guests it calls, until
//! one computes for long.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::OptionFuture;
use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::activity::Activity;
use super::body::OutgoingBody;
use super::headers::Client;
use super::redirect;
use super::slow::Unhurried;
use super::websocket::{Pledge, Session};
use crate::host::Core;
use crate::telemetry::connections::Ended;
use crate::tls::{self, Tls};

pub(crate) use self::activity::Busy;

mod activity;
mod speech;

/// How long a client may take to notice that its silence has ended the connection. What it asks in this time is answered.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long accepting pauses when the process has run out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A thread's runtime, and how many connections live on it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) runtime: Handle,
    pub(crate) connections: AtomicUsize,
}

/// What is spoken on a listener.
#[derive(Clone)]
pub(crate) enum Speech {
    /// Plain HTTP; `redirect` is the port that all requests are sent to, if they are.
    Plain {
        redirect: Option<u16>,
    },
    Tls(Arc<Tls>),
}

/// Everything that accepts and serves connections.
pub(crate) struct Acceptor {
    pub(crate) core: Arc<Core>,
    pub(crate) lanes: Arc<[Lane]>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) draining: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl Acceptor {
    /// Accepts until the host drains.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener, speech: Speech) {
        loop {
            let Some(accepted) = self.draining.run_until_cancelled(listener.accept()).await else {
                return;
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // After it was accepted: a listener that waits for clients keeps no place from another's.
            if self.connections.available_permits() == 0 {
                self.core.traffic.connections.limited();
            }
            let place = self.connections.clone().acquire_owned();
            match self.draining.run_until_cancelled(place).await {
                Some(Ok(permit)) => self.hand_over(stream, peer, &speech, permit),
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Gives the connection to the lane that has the fewest.
    fn hand_over(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        speech: &Speech,
        permit: OwnedSemaphorePermit,
    ) {
        let Some(index) =
            (0..self.lanes.len()).min_by_key(|index| self.lanes[*index].connections.load(Relaxed))
        else {
            return;
        };
        self.lanes[index].connections.fetch_add(1, Relaxed);
        let place = Place {
            lanes: self.lanes.clone(),
            index,
            _permit: permit,
        };
        // The stream leaves this runtime's reactor for the lane's.
        let stream = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%error, %peer, "connection lost"),
        };
        let (acceptor, speech) = (self.clone(), speech.clone());
        self.core.traffic.connections.accepted();
        let connection = async move {
            let _place = place;
            let ended = match TcpStream::from_std(stream) {
                Ok(stream) => acceptor.greet(stream, peer, speech).await,
                Err(error) => {
                    tracing::warn!(%error, %peer, "connection lost");
                    Ended::Lost
                }
            };
            acceptor.core.traffic.connections.ended(ended);
        };
        // Not joined: the tracker waits for it, and a panic is the runtime's to catch.
        drop(
            self.tracker
                .spawn_on(connection, &self.lanes[index].runtime),
        );
    }

    /// Shakes hands, if that is the custom, on the connection's lane.
    async fn greet(&self, stream: TcpStream, peer: SocketAddr, speech: Speech) -> Ended {
        let timeouts = &self.core.config.timeouts;
        let stream = Unhurried::new(stream, timeouts.body_idle);
        let client = Client::of(peer).believed_if_in(&self.core.config.trusted_proxies);
        let tls = match speech {
            Speech::Plain { redirect } => {
                return self.serve(stream, peer, client, redirect).await;
            }
            Speech::Tls(tls) => tls,
        };
        // On the heap, so that plain connections are no larger for it.
        let handshake = Box::pin(tls.accept(stream, peer, timeouts.header));
        let Some(Some(stream)) = self.draining.run_until_cancelled(handshake).await else {
            return Ended::Handshake;
        };
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown
            .and_then(|chain| chain.first())
            .map(tls::client::forwarded);
        Box::pin(self.serve(stream, peer, client.over_tls(certificate), None)).await
    }

    /// Serves requests, and the WebSocket that one of them asks for.
    async fn serve<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        client: Client,
        redirect: Option<u16>,
    ) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let next = Next::default();
        let ended = self.serve_http(stream, peer, client, redirect, &next).await;
        if let Some(session) = next.take() {
            // On the heap, so that other connections are no larger for it.
            Box::pin(session.run()).await;
        }
        ended
    }

    async fn serve_http<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        client: Client,
        redirect: Option<u16>,
        next: &Next,
    ) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let timeouts = &self.core.config.timeouts;
        let activity = Activity::new();
        let client = Arc::new(client);
        let service = service_fn(|request| {
            let busy = activity.enter();
            let (core, client, next) = (self.core.clone(), client.clone(), next.clone());
            async move {
                let mut response = answer(&core, request, &client, redirect, busy).await;
                if let Some(session) = Pledge::take(&mut response) {
                    next.set(session);
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let builder = speech::builder(&self.core.config);
        let mut connection =
            std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let mut drain = std::pin::pin!(self.draining.cancelled());
        let mut ending = false;
        let silence = activity.silence(timeouts.header, timeouts.idle);
        let mut silence = std::pin::pin!(silence);
        let mut abuse = std::pin::pin!(activity.abuse());
        let mut farewell = std::pin::pin!(OptionFuture::<Sleep>::from(None));
        let mut is_silent = false;
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => {
                    let error = match result {
                        _ if is_silent => return Ended::Silent,
                        Ok(()) => return Ended::Closed,
                        Err(error) => error,
                    };
                    let ended = Ended::by(&*error);
                    let error = crate::telemetry::chain(&*error);
                    tracing::debug!(%peer, error, reason = ended.as_str(), "connection ended");
                    return ended;
                }
                () = drain.as_mut(), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = silence.as_mut(), if !is_silent => {
                    // Who has never asked anything need not know what was the last of it.
                    if !activity.has_answered() {
                        return Ended::Silent;
                    }
                    is_silent = true;
                    connection.as_mut().graceful_shutdown();
                    farewell.set(Some(sleep(FAREWELL)).into());
                }
                Some(()) = farewell.as_mut(), if is_silent => {
                    if activity.is_idle() {
                        return Ended::Silent;
                    }
                    farewell.set(Some(sleep(FAREWELL)).into());
                }
                () = abuse.as_mut() => {
                    // It is not asked to go: it could do the same for as long as it does not answer.
                    tracing::info!(%peer, "connection cut: the client only takes back what it asks");
                    return Ended::Resets;
                }
            }
        }
    }
}

/// Answers a request of who is at the other end, or of whom that sent it for; `redirect` as in [`Speech`].
async fn answer(
    core: &Arc<Core>,
    request: Request<Incoming>,
    client: &Client,
    redirect: Option<u16>,
    busy: Busy,
) -> Response<OutgoingBody> {
    let behind = client.behind(request.headers(), &core.config.trusted_proxies);
    let client = behind.as_ref().unwrap_or(client);
    // A proxy that has spoken TLS with its client has done what is asked for.
    let redirect = redirect.filter(|_| client.scheme == Scheme::HTTP);
    match redirect.and_then(|port| redirect::to_tls(&request, port)) {
        Some(response) => {
            super::log_redirected(core, &request, client, response.status());
            response
        }
        None => super::serve(core, request, client, busy).await,
    }
}

/// What follows HTTP on a connection.
#[derive(Clone, Default)]
struct Next(Arc<Mutex<Option<Session>>>);

impl Next {
    fn set(&self, session: Session) {
        *self.lock() = Some(session);
    }

    fn take(&self) -> Option<Session> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Place {
    lanes: Arc<[Lane]>,
    index: usize,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lanes[self.index].connections.fetch_sub(1, Relaxed);
    }
}
