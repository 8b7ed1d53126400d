//! Connections: taken in, spread over lanes, bounded in number, header size and silence, and told when to end.
//!
//! A lane is a thread with a runtime of its own. A connection stays on its lane, and so do the guests it calls, until
//! one computes for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::headers::Client;
use super::redirect;
use super::slow::Unhurried;
use crate::host::Core;
use crate::tls::{self, Tls};

/// Streams that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 256;
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
            let Some(permit) = self
                .draining
                .run_until_cancelled(self.connections.clone().acquire_owned())
                .await
            else {
                return;
            };
            let Some(accepted) = self.draining.run_until_cancelled(listener.accept()).await else {
                return;
            };
            match (accepted, permit) {
                (Ok((stream, peer)), Ok(permit)) => self.hand_over(stream, peer, &speech, permit),
                (Err(error), _) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
                (Ok(_), Err(_)) => return,
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
        let connection = async move {
            let _place = place;
            match TcpStream::from_std(stream) {
                Ok(stream) => acceptor.greet(stream, peer, speech).await,
                Err(error) => tracing::warn!(%error, %peer, "connection lost"),
            }
        };
        // Not joined: the tracker waits for it, and a panic is the runtime's to catch.
        drop(
            self.tracker
                .spawn_on(connection, &self.lanes[index].runtime),
        );
    }

    /// Shakes hands, if that is the custom, on the connection's lane.
    async fn greet(&self, stream: TcpStream, peer: SocketAddr, speech: Speech) {
        let timeouts = &self.core.config.timeouts;
        let stream = Unhurried::new(stream, timeouts.body_idle);
        let client = Client::of(peer);
        let tls = match speech {
            Speech::Plain { redirect } => {
                return self.serve(stream, peer, client, redirect).await;
            }
            Speech::Tls(tls) => tls,
        };
        // On the heap, so that plain connections are no larger for it.
        let handshake = Box::pin(tls.accept(stream, peer, timeouts.header));
        let Some(Some(stream)) = self.draining.run_until_cancelled(handshake).await else {
            return;
        };
        let shown = stream.get_ref().1.peer_certificates();
        let certificate = shown
            .and_then(|chain| chain.first())
            .map(tls::client::forwarded);
        Box::pin(self.serve(stream, peer, client.over_tls(certificate), None)).await;
    }

    async fn serve<S>(&self, stream: S, peer: SocketAddr, client: Client, redirect: Option<u16>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let timeouts = &self.core.config.timeouts;
        let activity = Activity::new();
        let client = Arc::new(client);
        let service = service_fn(|request| {
            let busy = activity.enter();
            let (core, client) = (self.core.clone(), client.clone());
            async move {
                let elsewhere = redirect.and_then(|port| redirect::to_tls(&request, port));
                Ok::<_, std::convert::Infallible>(match elsewhere {
                    Some(response) => response,
                    None => super::serve(&core, request, &client, busy).await,
                })
            }
        });
        let builder = self.builder();
        let mut connection =
            std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut drain = std::pin::pin!(self.draining.cancelled());
        let mut ending = false;
        let silence = activity.silence(timeouts.header, timeouts.idle);
        let mut silence = std::pin::pin!(silence);
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%peer, error = %crate::telemetry::chain(&*error), "connection ended");
                    }
                    return;
                }
                () = drain.as_mut(), if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = silence.as_mut() => return,
            }
        }
    }

    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let config = &self.core.config;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            // `Activity::silence` bounds every head, with one timer for all.
            .header_read_timeout(None)
            .max_buf_size(config.header_bytes_max.max(8192))
            .max_headers(config.headers_max);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(config.timeouts.idle)
            .keep_alive_timeout(config.timeouts.header);
        builder
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

/// What goes on on one connection.
#[derive(Debug)]
struct Activity {
    opened: Instant,
    requests: AtomicUsize,
    /// When the last answer was over, in milliseconds after the connection was opened; 0 until there was one.
    answered: AtomicU64,
}

/// Marks a connection as one that has a request, until the answer's last byte.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
        })
    }

    fn enter(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    /// Ends when the connection has had no request, or none whose head is whole, for too long: `first` for the first one,
    /// `between` for later ones.
    async fn silence(&self, first: Duration, between: Duration) {
        // The first request may long be over when the first time passes.
        let mut look = self.opened + first.min(between);
        loop {
            sleep_until(look).await;
            let now = Instant::now();
            // Before the time of the last answer, which is noted first.
            let has_request = self.requests.load(Acquire) > 0;
            let over = match self.answered.load(Relaxed) {
                0 => self.opened + first,
                answered => self.opened + Duration::from_millis(answered) + between,
            };
            if over <= now && !has_request {
                return;
            }
            look = if has_request {
                now + between
            } else {
                over.min(now + between)
            };
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let after = self.0.opened.elapsed().as_millis();
        let after = u64::try_from(after).unwrap_or(u64::MAX).max(1);
        self.0.answered.store(after, Relaxed);
        self.0.requests.fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const FIRST: Duration = Duration::from_secs(10);
    const BETWEEN: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_silent_after_the_first_time() {
        let activity = Activity::new();
        let start = Instant::now();
        activity.silence(FIRST, BETWEEN).await;
        assert_eq!(start.elapsed(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_however_long_is_no_silence_and_what_follows_it_is() {
        let activity = Activity::new();
        let mut silence = std::pin::pin!(activity.silence(FIRST, BETWEEN));
        let busy = activity.enter();
        assert!(silence.as_mut().now_or_never().is_none());
        tokio::time::advance(10 * BETWEEN).await;
        assert!(silence.as_mut().now_or_never().is_none());
        drop(busy);
        let over = Instant::now();
        silence.await;
        assert!(over.elapsed() >= BETWEEN && over.elapsed() <= 2 * BETWEEN);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_request_the_first_time_counts_no_more_even_if_it_is_the_longer_one() {
        let activity = Activity::new();
        let mut silence = std::pin::pin!(activity.silence(BETWEEN, FIRST));
        assert!(silence.as_mut().now_or_never().is_none());
        let over = Instant::now();
        drop(activity.enter());
        silence.await;
        assert!(over.elapsed() >= FIRST && over.elapsed() <= 2 * FIRST);
        let start = Instant::now();
        Activity::new().silence(BETWEEN, FIRST).await;
        assert_eq!(start.elapsed(), BETWEEN);
    }
}
