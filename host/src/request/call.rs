//! A call from one service to another: `http://NAME.internal/` enters the way of a request, without a socket.

use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt;
use skep_policy::name::ServiceName;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::body::OutgoingBody;
use super::exchange::Exchange;
use super::headers::RequestId;
use super::journey::{Journey, TraceParent};
use super::run::Answered;
use super::run::functions::Invocation;
use super::run::meter::{Meter, Payer};
use super::send::Manner;
use super::tolerate::{Below, Layer};
use super::visit::Visit;
use super::{answers_without_body, choose, conclude, dispatch, headers};
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Service, Snapshot};

/// The domain under which services reach each other; never on the network.
const DOMAIN: &str = ".internal";

/// What an instance needs to call other services.
pub(crate) struct Telephone {
    core: Arc<Core>,
    meter: Arc<Meter>,
    lane: Handle,
}

/// The request that a guest works for, as its calls need it. Outlives the request: a guest may go on after its answer.
#[derive(Debug)]
pub(crate) struct Errand {
    id: RequestId,
    journey: Journey,
    /// When the request's time is up, unless it has been answered.
    deadline: Instant,
    exchange: Weak<Exchange>,
    service: Arc<Service>,
    /// The services of the moment: no request sees another version of the system, nor do those that come of it.
    snapshot: Arc<Snapshot>,
    /// The trace of the calls, if the request belongs to none.
    trace: OnceLock<Option<TraceParent>>,
}

impl Errand {
    /// None if the service that the request is for may call no other.
    pub(crate) fn of(
        exchange: &Arc<Exchange>,
        snapshot: &Arc<Snapshot>,
        service: &Arc<Service>,
        deadline: Instant,
    ) -> Option<Arc<Self>> {
        if service.config.allow.services.is_empty() {
            return None;
        }
        let journey = Journey {
            retries: Some(exchange.retries().clone()),
            ..exchange.onward()
        };
        Some(Arc::new(Self {
            id: exchange.id.clone(),
            journey,
            deadline,
            exchange: Arc::downgrade(exchange),
            service: service.clone(),
            snapshot: snapshot.clone(),
            trace: OnceLock::new(),
        }))
    }

    /// The services as the request and all that comes of it see them.
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// A service as it answers calls of this request.
    pub(crate) fn view<'a>(&self, service: &'a Arc<Service>) -> &'a Arc<Service> {
        if service.trial.is_none() {
            return service;
        }
        let journey = self.journey.call(&self.service.name, None);
        choose::view(service, &journey, &self.id)
    }

    /// When the time is up of what a call is for; None once that has been answered.
    fn deadline(&self) -> Option<Instant> {
        let is_waited_for = self
            .exchange
            .upgrade()
            .is_some_and(|exchange| !exchange.has_head());
        is_waited_for.then_some(self.deadline)
    }

    /// The trace that a call with these headers belongs to: the request's, or else the guest's own, or else a new one.
    fn trace(&self, headers: &HeaderMap) -> Option<TraceParent> {
        let of_request = self.journey.trace.clone();
        of_request
            .or_else(|| TraceParent::of(headers))
            .or_else(|| self.trace.get_or_init(TraceParent::new).clone())
    }
}

/// Where a call goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Callee<'a> {
    /// To the service of this name, if there is one.
    Service(&'a str),
    /// To no service, though the host is one of services' names.
    Nowhere,
}

/// The service that `uri` names. None if it is not for a service.
pub(crate) fn callee(uri: &Uri) -> Option<Callee<'_>> {
    let host = uri.host()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let at = host.len().checked_sub(DOMAIN.len())?;
    if !host.is_char_boundary(at) || !host[at..].eq_ignore_ascii_case(DOMAIN) {
        return None;
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let has_plain_port = matches!(authority.strip_prefix(uri.host()?), Some("" | ":80"));
    let is_plain = uri.scheme_str() == Some("http") && has_plain_port;
    Some(if is_plain {
        Callee::Service(&host[..at])
    } else {
        Callee::Nowhere
    })
}

impl Telephone {
    /// For the instance that `meter` meters; what it calls runs on `lane`.
    pub(crate) fn new(core: &Arc<Core>, meter: &Arc<Meter>, lane: &Handle) -> Self {
        Self {
            core: core.clone(),
            meter: meter.clone(),
            lane: lane.clone(),
        }
    }

    /// A guest's `request` on its `errand` to the service `name`. To be called in the guest's poll.
    pub(crate) fn call(
        &self,
        errand: &Arc<Errand>,
        name: ServiceName,
        request: Request<WasiBody>,
    ) -> Call {
        Call {
            core: self.core.clone(),
            payer: Payer::of(&self.meter),
            lane: self.lane.clone(),
            errand: errand.clone(),
            name,
            request,
        }
    }
}

/// A call that has not begun.
pub(crate) struct Call {
    core: Arc<Core>,
    payer: Payer,
    lane: Handle,
    errand: Arc<Errand>,
    name: ServiceName,
    request: Request<WasiBody>,
}

impl Call {
    /// Makes the call, which ends if this is dropped.
    ///
    /// # Errors
    /// When the host fails; every other failure is an answer.
    pub(crate) async fn answer(self) -> Result<Response<WasiBody>, WasiError> {
        let lane = self.lane.clone();
        let answer = AbortOnDropHandle::new(lane.spawn(self.run()));
        // It does not panic, and nobody else aborts it.
        let response = answer.await.map_err(|_| WasiError::ConnectionTerminated)?;
        Ok(response.map(|body| {
            body.map_err(|_cut| WasiError::HttpResponseIncomplete)
                .boxed_unsync()
        }))
    }

    async fn run(self) -> Response<OutgoingBody> {
        let manner = Manner {
            body_idle: self.core.config.timeouts.body_idle,
            without_body: answers_without_body(self.request.method())
                || Invocation::of(&self.request).is_some(),
            may_be_unread: true,
        };
        let errand = &self.errand;
        let caller = &errand.service;
        let mut journey = errand.journey.call(&caller.name, errand.deadline());
        journey.trace = errand.trace(self.request.headers());
        let edge = caller.standing.calls.to(&self.name);
        let what = (self.request.method().clone(), self.request.uri().path());
        let origin = (edge, &caller.config);
        let exchange = Exchange::call(&self.core, errand.id.clone(), what, journey, origin);
        let answer = pin!(self.reach(&exchange));
        conclude(&exchange, manner, answer).await
    }

    async fn reach(self, exchange: &Arc<Exchange>) -> Result<Answered, Fault> {
        let (core, name) = (&self.core, &self.name);
        let snapshot = &self.errand.snapshot;
        let service = snapshot.services.get(name).ok_or_else(|| {
            let detail = format!("there is no service {name}; see `skep ls`");
            Fault::new(Cause::NotReady, detail)
        })?;
        let service = choose::view(service, &exchange.journey, &exchange.id);
        exchange.routed_to(service);
        let journey = &exchange.journey;
        let depth_max = core.config.call_depth_max;
        if let Some(caller) = journey
            .caller
            .as_ref()
            .filter(|caller| caller.depth > depth_max)
        {
            return Err(Fault::new(
                Cause::CallLoop,
                format!("{caller} → {name}: more than {depth_max} calls deep; see [calls] depth"),
            ));
        }
        let request = if Invocation::of(&self.request).is_some() {
            self.request
        } else {
            let request = introduce(self.request, exchange, service)?;
            let body_idle = core.config.timeouts.body_idle;
            dispatch::bounded(request, service, exchange, body_idle)?
        };
        let visit = Visit::new(core, snapshot, service, exchange, Some(&self.payer));
        let Some((edge, rules)) = exchange.rules() else {
            return visit.reach(request).await;
        };
        let rules = Layer {
            places: rules.concurrency.map(|most| (edge, most)),
            tolerance: &rules.tolerance,
            guards: &edge.guards,
            traffic: &edge.traffic,
            timeout: rules.timeout,
            below: Below::Service,
        };
        rules.boxed(visit, request).await
    }
}

/// The request as the callee gets it, whatever the caller wrote of who sends it and where to.
fn introduce(
    mut request: Request<WasiBody>,
    exchange: &Exchange,
    service: &Service,
) -> Result<Request<WasiBody>, Fault> {
    let malformed = |error: http::Error| Fault::new(Cause::MalformedRequest, error);
    let host = format!("{}{DOMAIN}", service.name);
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(host.as_str())
        .path_and_query(path)
        .build();
    *request.uri_mut() = uri.map_err(malformed)?;
    let caller = exchange.journey.caller.as_ref();
    let caller = caller.map_or("", |caller| caller.service.as_ref());
    headers::introduce_caller(request.headers_mut(), caller, &host);
    if let Some(identity) = &exchange.journey.identity {
        identity.introduce(request.headers_mut());
    }
    if let Some(trace) = &exchange.journey.trace {
        trace.insert(request.headers_mut());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_below_internal_names_a_service() {
        use Callee::{Nowhere, Service};
        for (uri, expected) in [
            ("http://payment.internal/a?b", Some(Service("payment"))),
            ("http://payment.internal:80/", Some(Service("payment"))),
            ("http://payment.INTERNAL./", Some(Service("payment"))),
            ("http://a.b.internal/", Some(Service("a.b"))),
            ("https://payment.internal/", Some(Nowhere)),
            ("http://payment.internal:8080/", Some(Nowhere)),
            ("http://payment.internal:99999/", Some(Nowhere)),
            ("http://me@payment.internal/", Some(Nowhere)),
            ("http://.internal/", Some(Service(""))),
            ("http://internal/", None),
            ("http://payment.internal.example/", None),
            ("http://é.example/", None),
            ("/payment.internal", None),
        ] {
            let Ok(uri) = uri.parse() else {
                assert_eq!(expected, None, "{uri}");
                continue;
            };
            assert_eq!(callee(&uri), expected, "{uri}");
        }
    }
}
