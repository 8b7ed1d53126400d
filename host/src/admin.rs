//! The admin API: what operators and their tools ask the host, on a listener of its own.
//!
//! Answers come from memory, at once; nothing here takes a request's path, or waits for one. It goes on answering while
//! the host drains.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::deploy::order::Orders;
use crate::host::{Core, Gateway};
use crate::telemetry;
use crate::telemetry::log::Dropped;

mod answer;
mod graph;
mod guard;
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
    started: SystemTime,
    /// Only names of this machine are taken for the API's own: pages of other sites in a local browser have others.
    loopback: bool,
}

struct Server {
    api: Api,
    connections: Arc<Semaphore>,
    tracker: TaskTracker,
    closing: tokio_util::sync::CancellationToken,
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
            started: SystemTime::now(),
            loopback: address.ip().is_loopback(),
        };
        let server = Arc::new(Server {
            api,
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            tracker: TaskTracker::new(),
            closing: tokio_util::sync::CancellationToken::new(),
        });
        // Not joined: it ends when the API is closed.
        drop(server.tracker.spawn(server.clone().accept(listener)));
        Ok(Self { address, server })
    }

    /// Stops accepting and lets the answers under way go out, for a moment at most.
    pub async fn close(&self) {
        self.server.closing.cancel();
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
                .closing
                .run_until_cancelled(self.connections.clone().acquire_owned())
                .await
            else {
                return;
            };
            let Some(accepted) = self.closing.run_until_cancelled(listener.accept()).await else {
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
        let served = AtomicU64::new(0);
        let service = service_fn(|request| {
            served.fetch_add(1, Relaxed);
            std::future::ready(Ok::<_, Infallible>(answer::answer(&self.api, &request)))
        });
        let builder = builder();
        let mut connection =
            std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut silence = std::pin::pin!(silence(&served));
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
                () = self.closing.cancelled(), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = silence.as_mut() => return,
            }
        }
    }
}

/// Ends when a connection has brought no request for too long.
async fn silence(served: &AtomicU64) {
    let (mut seen, mut wait) = (0, HEADER_TIMEOUT);
    loop {
        sleep(wait).await;
        let now = served.load(Relaxed);
        if now == seen {
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
