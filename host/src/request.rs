//! A request's whole way: accept → dispatch → lease → gate → run → send. A service's call to another enters at the lease.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures::FutureExt;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming as HyperBody;

use self::accept::Busy;
use self::body::OutgoingBody;
use self::edge::{Entered, Passage};
use self::exchange::Exchange;
use self::exchange::access::{Outcome, Visitor};
use self::headers::{Client, RequestId};
use self::journey::Journey;
use self::run::Answered;
use self::send::Manner;
use self::visit::Visit;
use self::websocket::Asked;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::Snapshot;

pub(crate) mod accept;
pub(crate) mod backend;
pub(crate) mod body;
pub(crate) mod call;
mod choose;
mod dispatch;
pub(crate) mod edge;
pub(crate) mod exchange;
pub mod gate;
mod headers;
pub(crate) mod health;
mod http2;
pub(crate) mod identity;
pub(crate) mod journey;
mod lease;
pub(crate) mod overload;
mod pins;
mod redirect;
pub(crate) mod replay;
pub mod run;
mod send;
mod slow;
pub(crate) mod tolerate;
mod visit;
pub(crate) mod websocket;

/// Answers one request from outside, whatever comes of it.
pub(crate) async fn serve(
    core: &Arc<Core>,
    mut request: Request<HyperBody>,
    client: &Client,
    busy: Busy,
) -> Response<OutgoingBody> {
    let is_http2 = request.version() == Version::HTTP_2;
    if is_http2 {
        http2::join_cookies(request.headers_mut());
    }
    let id = RequestId::of(request.headers(), &core.request_ids);
    let what = (request.method().clone(), request.uri().path());
    let manner = Manner {
        body_idle: core.config.timeouts.body_idle,
        without_body: answers_without_body(request.method()),
        may_be_unread: is_http2,
    };
    let snapshot = core.registry.snapshot();
    let journey = Journey::begin(request.headers(), client, &snapshot);
    let exchange = Exchange::new(core, id, what, journey, Some(busy));
    if let Some(visitor) = Visitor::of(&request, client, core) {
        exchange.comes_of(visitor);
    }
    let answer = pin!(answer(core, &snapshot, request, client, &exchange));
    conclude(&exchange, manner, answer).await
}

/// A request was sent to where TLS is spoken, before anything else was done with it.
fn log_redirected<B>(core: &Core, request: &Request<B>, client: &Client, status: StatusCode) {
    if let Some(visitor) = Visitor::of(request, client, core) {
        let outcome = Outcome {
            status,
            ..Outcome::default()
        };
        visitor.leaves(&outcome);
    }
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
        let of_caller = || exchange.rules()?.1.tolerance.instead(fault.cause);
        let own = || exchange.routed()?.config.tolerance.instead(fault.cause);
        match of_caller().or_else(own) {
            Some(fallback) => send::fallback(fault, fallback, exchange, manner),
            None => send::fault(fault, exchange, manner),
        }
    })
}

async fn answer(
    core: &Arc<Core>,
    snapshot: &Arc<Snapshot>,
    mut request: Request<HyperBody>,
    client: &Client,
    exchange: &Arc<Exchange>,
) -> Result<Answered, Fault> {
    if request.version() == Version::HTTP_2 {
        http2::check(&request, core.config.headers_max)?;
    }
    let mut route = dispatch::route(snapshot, &mut request)?;
    let chosen = choose::first(core, snapshot, route.service, exchange)?;
    if !Arc::ptr_eq(chosen, route.service) {
        // Who answers says who may ask, if it has the route.
        let spec = route.service.config.routes.get(route.at);
        let own = spec.and_then(|spec| chosen.edge_of(spec));
        route.edge = own.unwrap_or(route.edge);
        route.service = chosen;
    }
    exchange.routed_to(route.service);
    if route.service.revision.is_none() && edge::Edge::may_be_for(&route.service.config, core) {
        // Its policies come with its revision; until then nobody else answers for it, either.
        lease::current(route.service)?;
    }
    if let Some(edge) = route.edge {
        exchange.passes(Passage::new(edge, &request, route.is_preflight));
    }
    overload::check(route.service)?;
    let asked = match route.edge.and_then(|edge| edge.websocket()) {
        Some(settings) => {
            let here = (client.scheme.as_str(), route.host());
            Asked::of(settings, &mut request, here)?
        }
        None => None,
    };
    let body_idle = core.config.timeouts.body_idle;
    let mut request = dispatch::prepare(request, &route, client, exchange, body_idle)?;
    if let Some(passage) = exchange.passage() {
        request = match passage.enter(core, request, exchange).await? {
            Entered::Goes(request) => request,
            Entered::GoesOnce(request, ticket) => {
                let carried_out = ticket.carry_out(snapshot, route.service, exchange, request);
                return Box::pin(carried_out).await;
            }
            Entered::Answered(answered) => return Ok(answered),
        };
    }
    let visit = Visit::new(core, snapshot, route.service, exchange, None);
    match asked {
        Some(asked) => Box::pin(asked.connect(visit, request)).await,
        None => visit.reach(request).await,
    }
}

/// Whether the answer to `method` has no body whatever the service sends.
fn answers_without_body(method: &Method) -> bool {
    method == Method::HEAD
}

/// From 0 up to 1.
#[allow(clippy::cast_precision_loss, reason = "any number in between will do")]
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(std::time::Instant::now()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("no message"))
}
