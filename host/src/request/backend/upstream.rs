//! Servers elsewhere that answer in a service's name.
//!
//! Each lane has connections of its own: a request, its connection and its client's are polled by one thread, and lanes
//! have nothing in common but counts. Requests under way are bounded by the service's gate, and idle connections here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{self, HeaderMap};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming as HyperBody;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use skep_policy::balance::{self, Load, Outcome, Outlier};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::WasiBody;

use self::opening::Handshake;
use super::Holds;
use crate::config::ConfigError;
use crate::config::service::target::{self, Server};
use crate::fault::{Cause, Fault};
use crate::https;
use crate::request::dispatch;
use crate::request::exchange::Exchange;
use crate::request::random;
use crate::telemetry;

pub(in crate::request) use self::opening::{Opened, Opening};

mod opening;

const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Of one lane, to one server.
const IDLE_CONNECTIONS_MAX: usize = 64;

type HttpClient = Client<https::Connector, WasiBody>;

/// The servers, and the connections to them.
pub(crate) struct Upstream {
    places: Vec<Place>,
    preserve_host: bool,
    connector: https::Connector,
    /// One for each lane that has asked, made when it first did.
    clients: ArcSwap<Vec<(ThreadId, HttpClient)>>,
    /// What the outliers' time is counted from.
    start: Instant,
}

/// One server.
struct Place {
    server: Server,
    in_flight: AtomicU32,
    outlier: Mutex<Outlier>,
    /// Until when it is ejected, in milliseconds, so that a choice takes no lock.
    ejected_until: AtomicU64,
}

/// A request at one of the servers, or a WebSocket.
pub(in crate::request) struct Turn {
    upstream: Arc<Upstream>,
    at: usize,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.place().in_flight.fetch_sub(1, Relaxed);
    }
}

impl Upstream {
    pub(super) fn new(config: &target::Upstream) -> Result<Arc<Self>, ConfigError> {
        let place = |server: &Server| Place {
            server: server.clone(),
            in_flight: AtomicU32::new(0),
            outlier: Mutex::default(),
            ejected_until: AtomicU64::new(0),
        };
        Ok(Arc::new(Self {
            places: config.servers.iter().map(place).collect(),
            preserve_host: config.preserve_host,
            connector: https::connector(config.authorities()?),
            clients: ArcSwap::default(),
            start: Instant::now(),
        }))
    }

    /// Has one of the servers answer. `is_hurried` if the time until the `deadline` is less than the service allows
    /// itself, so that it says nothing of the server when it is up.
    ///
    /// # Errors
    /// Every way in which a server can fail to answer by then.
    pub(in crate::request) async fn answer(
        self: &Arc<Self>,
        request: Request<WasiBody>,
        holds: Holds,
        deadline: Instant,
        is_hurried: bool,
    ) -> Result<Response<WasiBody>, Fault> {
        let turn = self.turn()?;
        let mut request = self.addressed(request, turn.server())?;
        let handshake = Handshake::begin(&mut request)?;
        let answer = self.with_client(|client| client.request(request));
        let answered = tokio::select! {
            biased;
            answered = timeout_at(deadline, answer) => answered,
            fault = holds.cut() => return Err(fault),
        };
        let exchange = &holds.exchange;
        match answered {
            Ok(Ok(response)) => turn.answered(response, handshake, holds).await,
            Ok(Err(error)) => Err(turn.failed(&error, exchange)),
            Err(_) => {
                if !is_hurried && !exchange.awaits_caller() {
                    turn.went(Outcome::Failed);
                }
                let server = turn.server();
                let detail = format!(
                    "[limits] timeout, or what its caller gave it, passed before {server} answered"
                );
                Err(Fault::new(Cause::WallDeadline, detail))
            }
        }
    }

    /// Chooses a server.
    fn turn(self: &Arc<Self>) -> Result<Turn, Fault> {
        let now = self.now();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let load = |place: &Place| Load {
            in_flight: place.in_flight.load(Relaxed),
            is_ejected: now_ms < place.ejected_until.load(Relaxed),
        };
        let at = match self.places.as_slice() {
            [_] => Some(0),
            places => balance::pick(places.iter().map(load), [random(), random()]),
        };
        let at = at.ok_or(Cause::HostFailed)?;
        self.places[at].in_flight.fetch_add(1, Relaxed);
        Ok(Turn {
            upstream: self.clone(),
            at,
        })
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The request as the server gets it.
    fn addressed(
        &self,
        mut request: Request<WasiBody>,
        server: &Server,
    ) -> Result<Request<WasiBody>, Fault> {
        let path = request.uri().path_and_query();
        let path = path.map_or("/", PathAndQuery::as_str);
        // A service that calls chooses no path beside the base either.
        dispatch::no_dot_segment(request.uri().path())?;
        let uri = Uri::builder()
            .scheme(server.scheme.clone())
            .authority(server.authority.clone())
            .path_and_query(format!("{}{path}", server.base))
            .build();
        *request.uri_mut() = uri.map_err(|error| Fault::new(Cause::MalformedRequest, error))?;
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        if !self.preserve_host {
            // The client says it, from the target.
            headers.remove(header::HOST);
        }
        // The gateway has answered it.
        headers.remove(header::EXPECT);
        if !has_one_length(headers) {
            headers.remove(header::CONTENT_LENGTH);
        }
        Ok(request)
    }

    /// Lends the client of this lane.
    fn with_client<T>(&self, ask: impl FnOnce(&HttpClient) -> T) -> T {
        let lane = thread::current().id();
        let clients = self.clients.load();
        if let Some((_, client)) = clients.iter().find(|(other, _)| *other == lane) {
            return ask(client);
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(self.connector.clone());
        self.clients.rcu(|clients| {
            let mut clients = Vec::clone(clients);
            clients.push((lane, client.clone()));
            clients
        });
        ask(&client)
    }
}

/// Whether the headers give the body no more than one length, and that a sound one.
fn has_one_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (first, second) = (lengths.next(), lengths.next());
    let is_number = |length: &header::HeaderValue| {
        let digits = length.as_bytes();
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    };
    first.is_none_or(is_number) && second.is_none()
}

impl Turn {
    fn place(&self) -> &Place {
        &self.upstream.places[self.at]
    }

    /// Whose it is.
    pub(in crate::request) fn server(&self) -> &Server {
        &self.place().server
    }

    /// Takes in how the request went, if there is another server to ask.
    fn went(&self, outcome: Outcome) {
        if self.upstream.places.len() < 2 {
            return;
        }
        let (place, now) = (self.place(), self.upstream.now());
        let mut outlier = place.outlier.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(time) = outlier.record(outcome, now) else {
            return;
        };
        let until = u64::try_from((now + time).as_millis()).unwrap_or(u64::MAX);
        place.ejected_until.store(until, Relaxed);
        drop(outlier);
        let (server, seconds) = (place.server.to_string(), time.as_secs());
        tracing::warn!(
            server,
            seconds,
            "a server of an upstream fails and gets no requests for now"
        );
    }

    /// The answer, or the connection that it opens.
    async fn answered(
        self,
        mut response: Response<HyperBody>,
        handshake: Option<Handshake>,
        holds: Holds,
    ) -> Result<Response<WasiBody>, Fault> {
        let opened = match handshake {
            Some(handshake) => handshake.end(&mut response).await,
            None => Ok(None),
        };
        let failed = opened.is_err() || response.status().is_server_error();
        self.went(match failed {
            true => Outcome::Failed,
            false => Outcome::Answered,
        });
        let opened = opened.map_err(|wrong| {
            let detail = format!("{}: {wrong}", self.server());
            Fault::new(Cause::UpstreamFailed, detail)
        })?;
        let (mut parts, body) = response.into_parts();
        let body = match opened {
            Some(upgraded) => {
                parts.extensions.insert(Opened::new(upgraded, self));
                Empty::new().map_err(|never| match never {}).boxed_unsync()
            }
            None => self.body(body, &holds.exchange),
        };
        Ok(Response::from_parts(parts, holds.body(body)))
    }

    /// What an error of the client means.
    fn failed(&self, error: &ClientError, exchange: &Exchange) -> Fault {
        let server = self.server();
        let detail = format!("{server}: {}", telemetry::chain(error));
        let source = std::error::Error::source(error);
        let source = source.and_then(|source| source.downcast_ref::<hyper::Error>());
        if error.is_connect() {
            self.went(Outcome::Unreachable);
            let fault = Fault::new(Cause::UpstreamUnreachable, detail);
            return Fault {
                unobserved: true,
                ..fault
            };
        }
        // Of the request's body, which is its sender's.
        if source.is_some_and(hyper::Error::is_user) {
            let gone = Fault::new(Cause::CallerGone, detail);
            return exchange.fault().cloned().unwrap_or(gone);
        }
        self.went(Outcome::Failed);
        Fault {
            unobserved: source.is_some_and(hyper::Error::is_canceled),
            ..Fault::new(Cause::UpstreamFailed, detail)
        }
    }

    /// The body of the server's answer; how that ends is noted in the exchange.
    fn body(self, body: HyperBody, exchange: &Arc<Exchange>) -> WasiBody {
        let exchange = exchange.clone();
        body.map_err(move |error| {
            let (server, error) = (self.server(), telemetry::chain(&error));
            let detail = format!("{server}: the body of the answer ended wrongly: {error}");
            exchange.failed(Fault::new(Cause::UpstreamFailed, detail));
            wasmtime_wasi_http::Error::HttpResponseIncomplete
        })
        .boxed_unsync()
    }
}
