//! Outgoing HTTP: to the hosts on the service's allow-list, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioTimer;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime::component::Val;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use skep_policy::contract::Unbound;
use skep_policy::name::{ServiceName, WEBSOCKET};

use self::answer::Answer;
use super::functions::{Import, bind};
use crate::config::ServiceConfig;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::https;
use crate::registry::Revision;
use crate::replay::notebook::Notebook;
use crate::replay::told::Told;
use crate::request::call::{self, Call, Callee, Errand, Telephone};
use crate::request::websocket::{Connections, push};

mod answer;

/// Requests that all guests together may have under way.
const REQUESTS_MAX: usize = 16_384;
/// Requests that one revision of a service may have under way; further ones wait.
pub(crate) const REQUESTS_PER_REVISION_MAX: usize = 256;
const _: () = assert!(REQUESTS_PER_REVISION_MAX * 16 <= REQUESTS_MAX);
/// Requests that one instance may have under way; further ones wait.
pub(crate) const REQUESTS_PER_INSTANCE_MAX: usize = 64;
/// Calls of functions that one instance may have under way, waiting ones included; further ones fail.
const INVOCATIONS_PER_INSTANCE_MAX: usize = 128;
/// Denials of one instance that reach the log.
const DENIALS_LOGGED_MAX: u32 = 8;
/// What a guest may write to a body in one piece: a lane copies and sends a piece without a pause.
const BODY_CHUNK_BYTES: usize = 64 << 10;
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 64;
/// What a guest waits for an answer or the next part of one if it does not say.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

type HttpClient = Client<https::Connector, WasiBody>;

/// Why a guest that may call a service can't.
const NO_ERRAND: &str = "services are called while a request is worked on, and by a service of wasi:http 0.3 with the client of 0.3";

/// The connections to other hosts, shared by all services.
#[derive(Debug)]
pub(crate) struct Outside {
    client: HttpClient,
    requests: Arc<Semaphore>,
}

/// Runs connections on one runtime, whichever thread asks for them: a busy guest must not slow a connection that it
/// shares with others.
#[derive(Clone, Debug)]
struct On(Handle);

impl<F> hyper::rt::Executor<F> for On
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

impl Outside {
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        let client = Client::builder(On(runtime))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST_MAX)
            .build(https::connector(None));
        Arc::new(Self {
            client,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
        })
    }
}

/// One instance's way out: to other services, and to hosts outside.
pub(crate) struct Egress {
    outside: Arc<Outside>,
    connections: Arc<Connections>,
    config: Arc<ServiceConfig>,
    of_revision: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    /// Of functions of other services.
    invocations: Arc<Semaphore>,
    /// None while the guest is only tried.
    telephone: Option<Telephone>,
    /// What the guest works on.
    pub(crate) errand: Option<Arc<Errand>>,
    /// Whether that is known for one request at a time.
    pub(crate) forgets_errand: bool,
    pub(crate) has_sent: bool,
    /// Whether notes are taken of what the guest hears, or it hears what was noted.
    pub(crate) told: Option<Told>,
    denied: u32,
}

impl Egress {
    /// The way out of an instance of `revision`, which may have as many `requests` under way at once.
    pub(crate) fn new(
        core: &Core,
        revision: &Revision,
        telephone: Option<Telephone>,
        requests: Arc<Semaphore>,
    ) -> Self {
        Self {
            outside: core.egress.clone(),
            connections: core.connections.clone(),
            config: revision.config.clone(),
            of_revision: revision.outgoing.clone(),
            requests,
            invocations: Arc::new(Semaphore::new(INVOCATIONS_PER_INSTANCE_MAX)),
            telephone,
            errand: None,
            forgets_errand: false,
            has_sent: false,
            told: None,
            denied: 0,
        }
    }

    /// Where a request may go.
    fn may_send(&mut self, uri: &http::Uri) -> Option<To> {
        match call::callee(uri) {
            Some(Callee::Service(name)) if name.eq_ignore_ascii_case(WEBSOCKET) => {
                self.may_push(uri).then_some(To::Websockets)
            }
            Some(callee) => self.may_call(&callee, uri).map(To::Service),
            None => self.may_leave(uri).then_some(To::Outside),
        }
    }

    /// Whether the guest may use its service's connections.
    fn may_push(&mut self, uri: &http::Uri) -> bool {
        let is_tried = self.telephone.is_none();
        let has_any = self.config.has_websockets();
        if !has_any {
            let origin = uri.authority().map_or("", |authority| authority.as_str());
            let service = self.config.name.as_ref();
            let remedy = format!("{service} has no route with websocket = true");
            self.deny(origin, &remedy);
        }
        has_any && (!is_tried || self.told.is_some())
    }

    fn may_leave(&mut self, uri: &http::Uri) -> bool {
        let allowed = self.config.allow.hosts.iter().any(|host| host.matches(uri));
        if !allowed {
            let origin = format!(
                "{}://{}",
                uri.scheme_str().unwrap_or("https"),
                uri.authority().map_or("", |a| a.as_str())
            );
            self.deny(&origin, &self.adding(&origin, "hosts"));
        }
        allowed
    }

    /// What a call needs: a way, and what it belongs to. None while the guest works for nobody.
    fn line(&mut self) -> Option<(&Telephone, Arc<Errand>)> {
        let errand = if self.forgets_errand {
            self.errand.take()
        } else {
            self.errand.clone()
        };
        Some((self.telephone.as_ref()?, errand?))
    }

    /// Calls a function of the service that provides it.
    ///
    /// # Errors
    /// When nobody provides it.
    pub(crate) fn invoke(
        &mut self,
        import: &Import,
        arguments: &[Val],
    ) -> Result<impl Future<Output = Result<http::Response<WasiBody>, Fault>> + Send + use<>, Fault>
    {
        self.has_sent = true;
        if let Some(Told::Again(script)) = &self.told {
            script.strays_to(&import.contract.interface.to_string());
            return Err(Fault::new(Cause::NotReady, "it is only replayed"));
        }
        let config = self.config.clone();
        if config.allow.services.is_empty() {
            let wanted = &import.contract.interface;
            let nobody: Unbound<ServiceName> = Unbound::Nobody {
                wanted: wanted.clone(),
            };
            return Err(Fault::new(Cause::NotReady, nobody));
        }
        // Those that wait hold their arguments, too.
        let Ok(under_way) = self.invocations.clone().try_acquire_owned() else {
            let detail =
                format!("{INVOCATIONS_PER_INSTANCE_MAX} calls of functions are under way already");
            return Err(Fault::new(Cause::GuestOutOfMemory, detail));
        };
        let permits = [self.requests.clone(), self.of_revision.clone()];
        let not_ready = |why: &dyn std::fmt::Display| Fault::new(Cause::NotReady, why);
        let (telephone, errand) = self.line().ok_or_else(|| not_ready(&NO_ERRAND))?;
        let (name, offered) =
            bind(&config, &errand, &import.contract).map_err(|unbound| not_ready(&unbound))?;
        let request = import.request(offered, arguments);
        let answer = called(
            telephone.call(&errand, name.clone(), request),
            permits,
            RequestOptions::default(),
        );
        Ok(async move {
            let _under_way = under_way;
            let (response, _sent) = answer
                .await
                .map_err(|error| Fault::new(Cause::HostFailed, format!("{error:?}")))?;
            Ok(response)
        })
    }

    /// The service that may be called, of those that may be there.
    fn may_call(&mut self, callee: &Callee<'_>, uri: &http::Uri) -> Option<ServiceName> {
        let origin = uri.authority().map_or("", |authority| authority.as_str());
        let Callee::Service(name) = callee else {
            self.deny(origin, "services are called at http://NAME.internal/");
            return None;
        };
        let name = name.to_ascii_lowercase();
        let allowed = self.config.allow.services.get(name.as_str()).cloned();
        if allowed.is_none() {
            self.deny(origin, &self.adding(&name, "services"));
        }
        allowed
    }

    fn adding(&self, what: &str, list: &str) -> String {
        let service = self.config.name.as_ref();
        format!("to permit it add {what:?} to {list} under [allow] in the manifest of {service}")
    }

    fn deny(&mut self, origin: &str, remedy: &str) {
        let is_again = self.told.as_ref().is_some_and(Told::is_again);
        if self.denied < DENIALS_LOGGED_MAX && !is_again {
            self.denied += 1;
            let service = self.config.name.as_ref();
            tracing::warn!(target: "skep::egress", service, origin, "outgoing request denied; {remedy}");
        }
    }
}

/// Where a guest's request goes.
enum To {
    Service(ServiceName),
    /// To the connections of its own service.
    Websockets,
    Outside,
}

/// An answer, and what is left of sending the request.
type Answered = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

type Sent = Result<Answered, Error>;

impl WasiHttpHooks for Egress {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        self.has_sent = true;
        let denied = || Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        let Some(to) = self.may_send(request.uri()) else {
            return denied();
        };
        let noted = match &self.told {
            Some(Told::Again(script)) => {
                let answer = script.answer(request);
                return Box::new(std::future::ready(answer.map(all_sent)));
            }
            Some(Told::Noted(notebook)) => Some((notebook.clone(), notebook.asks(&request))),
            None => None,
        };
        let (options, permits) = (
            options.unwrap_or_default(),
            [self.requests.clone(), self.of_revision.clone()],
        );
        let name = match to {
            To::Service(name) => name,
            To::Websockets => {
                let (all, own) = (self.connections.clone(), self.config.name.clone());
                let answer = push::answer(all, own, permits, request);
                return hearing(noted, async { answer.await.map(all_sent) });
            }
            To::Outside => {
                let sent = send(self.outside.clone(), permits, request, options);
                return hearing(noted, sent);
            }
        };
        let Some((telephone, errand)) = self.line() else {
            self.deny(name.as_str(), NO_ERRAND);
            return denied();
        };
        let call = telephone.call(&errand, name, request);
        hearing(noted, called(call, permits, options))
    }
}

/// The answer as the guest hears it, of which notes are taken.
fn hearing(
    noted: Option<(Arc<Notebook>, usize)>,
    sent: impl Future<Output = Sent> + Send + 'static,
) -> Box<dyn Future<Output = Sent> + Send> {
    let Some((notebook, number)) = noted else {
        return Box::new(sent);
    };
    Box::new(async move {
        match sent.await {
            Ok((response, sent)) => Ok((notebook.hears(number, response), sent)),
            Err(error) => {
                notebook.fails(number, &error);
                Err(error)
            }
        }
    })
}

/// An answer to a request all of which is sent.
fn all_sent(response: http::Response<WasiBody>) -> Answered {
    (response, Box::new(std::future::ready(Ok(()))))
}

/// The answer to a call, if it comes as soon as the guest wants it to.
async fn called(
    call: Call,
    [of_instance, of_revision]: [Arc<Semaphore>; 2],
    options: RequestOptions,
) -> Sent {
    let closed = |_| Error::ConnectionLimitReached;
    let _permits = (
        of_instance.acquire_owned().await.map_err(closed)?,
        of_revision.acquire_owned().await.map_err(closed)?,
    );
    let answer = call.answer();
    let response = match options.first_byte_timeout {
        Some(limit) => timeout(limit, answer)
            .await
            .map_err(|_| Error::HttpResponseTimeout)??,
        None => answer.await?,
    };
    Ok(all_sent(response))
}

async fn send(
    outside: Arc<Outside>,
    [of_instance, of_revision]: [Arc<Semaphore>; 2],
    mut request: http::Request<WasiBody>,
    options: RequestOptions,
) -> Sent {
    let closed = |_| Error::ConnectionLimitReached;
    let permits = (
        of_instance.acquire_owned().await.map_err(closed)?,
        of_revision.acquire_owned().await.map_err(closed)?,
        outside
            .requests
            .clone()
            .acquire_owned()
            .await
            .map_err(closed)?,
    );
    // The client sets it from the target, and a guest must not name another host than the one it was allowed.
    request.headers_mut().remove(http::header::HOST);
    let first_byte = options.first_byte_timeout.unwrap_or(ANSWER_TIMEOUT);
    let connect = options.connect_timeout.unwrap_or(https::CONNECT_TIMEOUT);
    let answer = timeout(
        connect.saturating_add(first_byte),
        outside.client.request(request),
    )
    .await;
    let response = answer
        .map_err(|_| Error::HttpResponseTimeout)?
        .map_err(|error| explain(&error))?;
    let silence_max = options.between_bytes_timeout.unwrap_or(ANSWER_TIMEOUT);
    let response = response.map(|body| {
        Answer {
            body,
            silence_max,
            timer: None,
            _permits: permits,
        }
        .boxed_unsync()
    });
    Ok(all_sent(response))
}

fn explain(error: &hyper_util::client::legacy::Error) -> Error {
    tracing::debug!(target: "skep::egress", error = %crate::telemetry::chain(error), "outgoing request failed");
    if error.is_connect() {
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                return match io.kind() {
                    std::io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                    std::io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                    std::io::ErrorKind::InvalidData => Error::TlsProtocolError,
                    _ => Error::DestinationUnavailable,
                };
            }
            source = inner.source();
        }
        return Error::DestinationUnavailable;
    }
    Error::ConnectionTerminated
}
