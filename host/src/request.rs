//! A request's whole way: accept → dispatch → lease → gate → run → send. A service's call to another enters at the lease.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming as HyperBody;
use wasmtime_wasi_http::WasiBody;

use self::accept::Busy;
use self::body::OutgoingBody;
use self::exchange::Exchange;
use self::headers::{Client, RequestId};
use self::journey::Journey;
use self::run::meter::Meter;
use self::run::{Answered, Task};
use self::send::Manner;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::Service;

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod call;
mod dispatch;
pub(crate) mod exchange;
pub mod gate;
mod headers;
pub(crate) mod journey;
mod lease;
pub mod run;
mod send;
mod slow;

/// Answers one request from outside, whatever comes of it.
pub(crate) async fn serve(
    core: &Arc<Core>,
    request: Request<HyperBody>,
    client: &Client,
    busy: Busy,
) -> Response<OutgoingBody> {
    let id = RequestId::of(request.headers(), &core.request_ids);
    let what = (request.method().clone(), request.uri().path());
    let manner = Manner {
        body_idle: core.config.timeouts.body_idle,
        without_body: answers_without_body(request.method()),
        multiplexed: request.version() == Version::HTTP_2,
    };
    let journey = Journey::begin(core.registry.snapshot(), request.headers());
    let exchange = Exchange::new(core, id, what, journey, busy);
    conclude(&exchange, manner, answer(core, request, client, &exchange)).await
}

/// Makes an answer of whatever comes of a request, a panic included.
async fn conclude(
    exchange: &Arc<Exchange>,
    manner: Manner,
    answer: impl Future<Output = Result<Answered, Fault>>,
) -> Response<OutgoingBody> {
    let sent = match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(answered)) => send::guest(answered, exchange, manner),
        Ok(Err(fault)) => Err(fault),
        Err(panic) => Err(Fault::new(Cause::HostFailed, panic_message(&*panic))),
    };
    sent.unwrap_or_else(|fault| send::fault(fault, exchange, manner.without_body))
}

async fn answer(
    core: &Arc<Core>,
    request: Request<HyperBody>,
    client: &Client,
    exchange: &Arc<Exchange>,
) -> Result<Answered, Fault> {
    let route = dispatch::route(&exchange.journey.snapshot, &request)?;
    exchange.routed_to(route.service);
    let body_idle = core.config.timeouts.body_idle;
    let request = dispatch::prepare(request, &route, client, exchange, body_idle)?;
    reach(core, route.service, request, exchange, None).await
}

/// Has `service` answer. From here the way is the same for requests from outside and for calls, whose CPU time is a
/// part of the `payer`'s.
async fn reach(
    core: &Arc<Core>,
    service: &Service,
    request: Request<WasiBody>,
    exchange: &Arc<Exchange>,
    payer: Option<Arc<Meter>>,
) -> Result<Answered, Fault> {
    let deadline = exchange.deadline(service);
    let lease = lease::current(service)?;
    let slot = service.standing.gate.admit(deadline).await?;
    exchange.runs_on(&lease.revision);
    let task = Task {
        request,
        exchange: exchange.clone(),
        payer,
        deadline,
    };
    let answered = tokio::select! {
        biased;
        answered = run::call(core, &service.standing, (slot, lease), task) => answered?,
        fault = exchange.refused() => return Err(fault),
    };
    // The guest may make anything of a body that was refused; the caller shall know why. And nothing of the answer is
    // out yet if the guest failed when it had begun with it.
    let failed = exchange.fault().cloned();
    if let Some(fault) = failed.or_else(|| answered.claimant.stopped()) {
        answered.claimant.hang_up();
        return Err(fault);
    }
    Ok(answered)
}

/// Whether the answer to `method` has no body whatever the service sends.
fn answers_without_body(method: &Method) -> bool {
    method == Method::HEAD
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("no message"))
}
