//! A call from one service to another: `http://NAME.internal/` enters the way of a request, without a socket.

use std::sync::Arc;

use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use skep_policy::name::ServiceName;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::exchange::Exchange;
use super::headers::RequestId;
use super::journey::Journey;
use super::run::meter::Meter;
use super::send::Manner;
use super::{answers_without_body, conclude, dispatch, headers, reach};
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::Service;

/// The domain under which services reach each other; never on the network.
const DOMAIN: &str = ".internal";

/// What an instance needs to call other services.
pub(crate) struct Telephone {
    core: Arc<Core>,
    /// The lane of the instance's first request: what it calls does not run where guests go that compute for long.
    lane: Handle,
    meter: Arc<Meter>,
}

/// The request that a guest works for, as its calls need it. Outlives the request: a guest may go on after its answer.
#[derive(Debug)]
pub(crate) struct Errand {
    id: RequestId,
    journey: Journey,
    deadline: Instant,
    service: Arc<Service>,
}

impl Errand {
    /// None if the service that the request is for may call no other.
    pub(crate) fn of(exchange: &Exchange) -> Option<Arc<Self>> {
        let service = exchange.routed()?;
        if service.config.allow.services.is_empty() {
            return None;
        }
        Some(Arc::new(Self {
            id: exchange.id.clone(),
            journey: exchange.journey.clone(),
            deadline: exchange.deadline(service),
            service: service.clone(),
        }))
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
    let is_plain = uri.scheme_str() == Some("http") && matches!(uri.port_u16(), None | Some(80));
    Some(if is_plain {
        Callee::Service(&host[..at])
    } else {
        Callee::Nowhere
    })
}

impl Telephone {
    pub(crate) fn new(core: &Arc<Core>, meter: Arc<Meter>) -> Self {
        Self {
            core: core.clone(),
            lane: Handle::current(),
            meter,
        }
    }

    /// Sends a guest's `request` on its `errand` to the service `name`. The call ends if this is dropped.
    pub(crate) fn call(
        &self,
        errand: &Errand,
        name: ServiceName,
        request: Request<WasiBody>,
    ) -> impl Future<Output = Result<Response<WasiBody>, WasiError>> + Send + use<> {
        let call = self.prepare(errand, &name, &request);
        let (core, meter) = (self.core.clone(), self.meter.clone());
        let answer = self.lane.spawn(async move {
            let manner = Manner {
                body_idle: core.config.timeouts.body_idle,
                without_body: answers_without_body(request.method()),
                multiplexed: false,
            };
            conclude(&call, manner, answer(&core, &call, &name, request, meter)).await
        });
        let answer = AbortOnDropHandle::new(answer);
        async move {
            // It does not panic, and nobody else aborts it.
            let response = answer.await.map_err(|_| WasiError::ConnectionTerminated)?;
            Ok(response.map(|body| {
                body.map_err(|_cut| WasiError::HttpResponseIncomplete)
                    .boxed_unsync()
            }))
        }
    }

    fn prepare(
        &self,
        errand: &Errand,
        name: &ServiceName,
        request: &Request<WasiBody>,
    ) -> Arc<Exchange> {
        let caller = &errand.service;
        let mut journey = errand.journey.call(&caller.name, errand.deadline);
        journey.trace = journey.trace(errand.id.as_str());
        let edge = caller.standing.calls.to(name);
        let what = (request.method().clone(), request.uri().path());
        Exchange::call(&self.core, errand.id.clone(), what, journey, edge)
    }
}

async fn answer(
    core: &Arc<Core>,
    call: &Arc<Exchange>,
    name: &ServiceName,
    request: Request<WasiBody>,
    payer: Arc<Meter>,
) -> Result<super::Answered, Fault> {
    let journey = &call.journey;
    let service = journey.snapshot.services.get(name).ok_or_else(|| {
        Fault::new(
            Cause::NotReady,
            format!("there is no service {name}; see `skep ls`"),
        )
    })?;
    call.routed_to(service);
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
    let request = introduce(request, call, service, core)?;
    reach(core, service, request, call, Some(payer)).await
}

/// The request as the callee's guest gets it.
fn introduce(
    mut request: Request<WasiBody>,
    call: &Arc<Exchange>,
    service: &Service,
    core: &Core,
) -> Result<Request<WasiBody>, Fault> {
    let host = format!("{}{DOMAIN}", service.name);
    let caller = call.journey.caller.as_ref();
    let caller = caller.map_or("", |caller| caller.service.as_ref());
    headers::introduce_caller(request.headers_mut(), caller, &host);
    if let Some(trace) = &call.journey.trace {
        trace.insert(request.headers_mut());
    }
    dispatch::bounded(request, service, call, core.config.timeouts.body_idle)
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
