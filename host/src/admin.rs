//! The admin API: what operators and their tools ask the host, on a listener of its own.
//!
//! Nothing here takes a request's path, or waits for one; what changes something is the deployer's to do. It goes on
//! answering while the host drains.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::deploy::order::Orders;
use crate::host::{Core, Gateway};
use crate::telemetry;
use crate::telemetry::log::Dropped;

mod answer;
mod api;
mod command;
mod follow;
mod graph;
mod guard;
mod receive;
mod resource;
mod rollout;
mod services;

pub(crate) use self::services::routes;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Streams that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 32;
/// For a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a request, after which a connection is closed; and for a client to take an answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const HEADER_BYTES_MAX: u32 = 16 << 10;
const HEADERS_MAX: usize = 64;
/// How long accepting pauses when the process has run out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections that are told to close may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The running admin API.
pub struct Admin {
    /// Where it listens.
    pub address: SocketAddr,
    server: Arc<Server>,
}

/// What requests are answered from.
struct Api {
    core: Arc<Core>,
    gateway: Arc<Gateway>,
    log: Dropped,
    orders: Orders,
    uploads: api::Uploads,
    /// Cancelled when the API is closed: who follows events is let go.
    closing: CancellationToken,
    started: SystemTime,
    /// Only names of this machine are taken for the API's own: pages of other sites in a local browser have others.
    loopback: bool,
}

struct Server {
    api: Arc<Api>,
    connections: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl Admin {
    /// Binds the admin address of the settings and starts to answer.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn open(
        core: Arc<Core>,
        gateway: Arc<Gateway>,
        log: Dropped,
        orders: Orders,
    ) -> anyhow::Result<Self> {
        let address = core.config.admin;
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("the admin API can't listen on {address}; choose another with --admin")
        })?;
        let address = listener.local_addr()?;
        let api = Api {
            core,
            gateway,
            log,
            orders,
            uploads: api::Uploads::default(),
            closing: CancellationToken::new(),
            started: SystemTime::now(),
            loopback: address.ip().is_loopback(),
        };
        let server = Arc::new(Server {
            api: Arc::new(api),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            tracker: TaskTracker::new(),
        });
        // Not joined: it ends when the API is closed.
        drop(server.tracker.spawn(server.clone().accept(listener)));
        Ok(Self { address, server })
    }

    /// Stops accepting and lets the answers under way go out, for a moment at most.
    pub async fn close(&self) {
        self.server.api.closing.cancel();
        self.server.tracker.close();
        if timeout(CLOSE_TIMEOUT, self.server.tracker.wait())
            .await
            .is_err()
        {
            tracing::debug!(
                connections = self.server.tracker.len(),
                "connections of the admin API were cut"
            );
        }
    }
}

impl Server {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Some(permit) = self
                .api
                .closing
                .run_until_cancelled(self.connections.clone().acquire_owned())
                .await
            else {
                return;
            };
            let Some(accepted) = self
                .api
                .closing
                .run_until_cancelled(listener.accept())
                .await
            else {
                return;
            };
            match (accepted, permit) {
                (Ok((stream, _)), Ok(permit)) => {
                    // Not joined: the tracker waits for it, and a panic is the runtime's to catch.
                    drop(self.tracker.spawn(self.clone().serve(stream, permit)));
                }
                (Err(error), _) => {
                    tracing::warn!(%error, "a connection to the admin API could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
                (Ok(_), Err(_)) => return,
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, _permit: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            return tracing::debug!(%error, "connection to the admin API lost");
        }
        let work = Arc::new(Work::default());
        let service = service_fn(|request| {
            let under_way = UnderWay::begin(&work);
            let api = self.api.clone();
            // A task of its own: what a client has begun is carried out and recorded though it leaves.
            let answering = self.tracker.spawn(async move { api.answer(request).await });
            async move {
                let response = answering.await.map_err(io::Error::other)?;
                Ok::<_, io::Error>(response.map(|body| {
                    body.map_frame(move |frame| {
                        // Until the body is dropped.
                        let _ = &under_way;
                        frame
                    })
                }))
            }
        });
        let builder = builder();
        let mut connection =
            std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut silence = std::pin::pin!(silence(&work));
        let mut ending = false;
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(error = %telemetry::chain(&*error), "connection to the admin API ended");
                    }
                    return;
                }
                () = self.api.closing.cancelled(), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = silence.as_mut() => return,
            }
        }
    }
}

/// The requests of one connection.
#[derive(Debug, Default)]
struct Work {
    begun: AtomicU64,
    under_way: AtomicU64,
}

/// A request until its answer is out.
struct UnderWay(Arc<Work>);

impl UnderWay {
    fn begin(work: &Arc<Work>) -> Self {
        work.begun.fetch_add(1, Relaxed);
        work.under_way.fetch_add(1, Relaxed);
        Self(work.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// Ends when a connection has brought no request for too long. One that is under way has bounds of its own.
async fn silence(work: &Work) {
    let (mut seen, mut wait) = (0, HEADER_TIMEOUT);
    loop {
        sleep(wait).await;
        let now = work.begun.load(Relaxed);
        if now == seen && work.under_way.load(Relaxed) == 0 {
            return;
        }
        (seen, wait) = (now, IDLE_TIMEOUT);
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX as usize)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(IDLE_TIMEOUT)
        .keep_alive_timeout(HEADER_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests;
