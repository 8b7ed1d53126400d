//! A request's whole way: accept → dispatch → lease → gate → run → send.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use http::{Request, Response, Version};
use hyper::body::Incoming as HyperBody;

use self::accept::Busy;
use self::body::OutgoingBody;
use self::dispatch::Edge;
use self::exchange::Exchange;
use self::headers::{Client, RequestId};
use self::run::Answered;
use self::send::Manner;
use crate::fault::{Cause, Fault};
use crate::host::Core;

pub(crate) mod accept;
pub(crate) mod body;
mod dispatch;
pub(crate) mod exchange;
pub mod gate;
mod headers;
mod lease;
pub mod run;
mod send;
mod slow;

/// Answers one request, whatever comes of it.
pub(crate) async fn serve(
    core: &Arc<Core>,
    request: Request<HyperBody>,
    client: &Client,
    busy: Busy,
) -> Response<OutgoingBody> {
    let id = RequestId::of(request.headers(), &core.request_ids);
    let (method, path) = (request.method().clone(), request.uri().path());
    let manner = Manner {
        body_idle: core.config.timeouts.body_idle,
        without_body: dispatch::answers_without_body(&method),
        multiplexed: request.version() == Version::HTTP_2,
    };
    let exchange = Exchange::new(core, id, method, path, busy);
    let answered = AssertUnwindSafe(answer(core, request, client, &exchange))
        .catch_unwind()
        .await;
    let sent = match answered {
        Ok(Ok(answered)) => send::guest(answered, &exchange, manner),
        Ok(Err(fault)) => Err(fault),
        Err(panic) => Err(Fault::new(Cause::HostFailed, panic_message(&*panic))),
    };
    sent.unwrap_or_else(|fault| send::fault(fault, &exchange, manner.without_body))
}

async fn answer(
    core: &Arc<Core>,
    request: Request<HyperBody>,
    client: &Client,
    exchange: &Arc<Exchange>,
) -> Result<Answered, Fault> {
    let snapshot = core.registry.snapshot();
    let route = dispatch::route(&snapshot, &request)?;
    let service = route.service;
    exchange.routed_to(service);
    let deadline = exchange.started + service.config.limits.timeout;
    let edge = Edge {
        client,
        exchange,
        body_idle: core.config.timeouts.body_idle,
    };
    let request = dispatch::prepare(request, &route, &edge)?;
    let lease = lease::current(service)?;
    let slot = service.standing.gate.admit(deadline).await?;
    exchange.runs_on(&lease.revision);
    let answered = tokio::select! {
        biased;
        answered = run::call(core, &service.standing, (slot, lease), request, exchange, deadline) => answered?,
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

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("no message"))
}
