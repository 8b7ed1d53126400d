//! A request's whole way: accept → dispatch → lease → gate → run → send. A service's call to another enters at the lease.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures::FutureExt;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming as HyperBody;
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;

use self::accept::Busy;
use self::body::OutgoingBody;
use self::call::Errand;
use self::exchange::Exchange;
use self::headers::{Client, RequestId};
use self::journey::Journey;
use self::run::meter::Payer;
use self::run::{Answered, Task};
use self::send::Manner;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Service, Snapshot};

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod call;
mod dispatch;
pub(crate) mod exchange;
pub mod gate;
mod headers;
pub(crate) mod health;
pub(crate) mod journey;
mod lease;
pub mod run;
mod send;
mod slow;
pub(crate) mod tolerate;

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
        may_be_unread: request.version() == Version::HTTP_2,
    };
    let journey = Journey::begin(request.headers());
    let exchange = Exchange::new(core, id, what, journey, busy);
    let answer = pin!(answer(core, request, client, &exchange));
    conclude(&exchange, manner, answer).await
}

/// Makes an answer of whatever comes of a request, a panic included. The future of `answer` is large and stays where it is.
async fn conclude(
    exchange: &Arc<Exchange>,
    manner: Manner,
    answer: Pin<&mut impl Future<Output = Result<Answered, Fault>>>,
) -> Response<OutgoingBody> {
    let sent = match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(answered)) => send::guest(answered, exchange, manner),
        Ok(Err(fault)) => Err(fault),
        Err(panic) => Err(Fault::new(Cause::HostFailed, panic_message(&*panic))),
    };
    sent.unwrap_or_else(|fault| {
        let service = exchange.routed().cloned();
        let fallback = service
            .as_ref()
            .and_then(|service| service.config.tolerance.instead(fault.cause));
        match fallback {
            Some(fallback) => send::fallback(fault, fallback, exchange, manner.without_body),
            None => send::fault(fault, exchange, manner.without_body),
        }
    })
}

async fn answer(
    core: &Arc<Core>,
    request: Request<HyperBody>,
    client: &Client,
    exchange: &Arc<Exchange>,
) -> Result<Answered, Fault> {
    let snapshot = core.registry.snapshot();
    let route = dispatch::route(&snapshot, &request)?;
    exchange.routed_to(route.service);
    let body_idle = core.config.timeouts.body_idle;
    let request = dispatch::prepare(request, &route, client, exchange, body_idle)?;
    reach(core, &snapshot, route.service, request, exchange, None).await
}

/// Has `service` answer. From here the way is the same for requests from outside and for calls, whose CPU time is a
/// part of the `payer`'s.
async fn reach(
    core: &Arc<Core>,
    snapshot: &Arc<Snapshot>,
    service: &Arc<Service>,
    request: Request<WasiBody>,
    exchange: &Arc<Exchange>,
    payer: Option<Payer>,
) -> Result<Answered, Fault> {
    if service.config.tolerance.is_plain() {
        return attempt(core, snapshot, service, request, exchange, payer, None).await;
    }
    // Its future is large, and most services have none.
    let tolerant = tolerate::reach(core, snapshot, service, request, exchange, payer);
    Box::pin(tolerant).await
}

/// Has a guest of `service` answer, `until` then if that is sooner than the request's own deadline.
async fn attempt(
    core: &Arc<Core>,
    snapshot: &Arc<Snapshot>,
    service: &Arc<Service>,
    request: Request<WasiBody>,
    exchange: &Arc<Exchange>,
    payer: Option<Payer>,
    until: Option<Instant>,
) -> Result<Answered, Fault> {
    let deadline = exchange.deadline(service);
    let deadline = until.map_or(deadline, |until| until.min(deadline));
    let lease = lease::current(service)?;
    lease.revision.program.takes(&request)?;
    let gate = &service.standing.gate;
    // What it waits for could be what waits for it.
    let slot = if exchange.journey.has_passed(&service.name) {
        gate.admit_at_once()?
    } else {
        gate.admit(deadline).await?
    };
    exchange.runs_on(&lease.revision);
    let task = Task {
        request,
        exchange: exchange.clone(),
        errand: Errand::of(exchange, snapshot, service),
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
    if let Err(fault) = send::check(&answered.response) {
        answered.claimant.release();
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
