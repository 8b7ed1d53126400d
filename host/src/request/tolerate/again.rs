//! Further tries of requests that failed.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use http::{Request, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use skep_policy::retry;
use tokio::time::{Instant, sleep_until};
use wasmtime_wasi_http::WasiBody;

use super::Layer;
use crate::config::service::tolerance::Retry;
use crate::fault::{Cause, Fault};
use crate::request::random;
use crate::request::run::Answered;
use crate::request::visit::Visit;

/// The head of a request that can be sent again, which is one without a body.
pub(super) fn spare(request: &Request<WasiBody>) -> Option<Request<()>> {
    let promised = request.headers().get(header::CONTENT_LENGTH);
    let is_empty = request.body().is_end_stream() || promised.is_some_and(|length| length == "0");
    if !is_empty {
        return None;
    }
    let mut spare = Request::new(());
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.headers_mut() = request.headers().clone();
    *spare.extensions_mut() = request.extensions().clone();
    Some(spare)
}

pub(super) fn request_of(spare: &Request<()>) -> Request<WasiBody> {
    let nothing = Empty::new().map_err(|never| match never {});
    spare.clone().map(|()| nothing.boxed_unsync())
}

/// One request's tries.
pub(super) struct Tries<'a> {
    pub(super) layer: Layer<'a>,
    pub(super) visit: Visit<'a>,
    pub(super) retry: &'a Retry,
    /// When the layer's own time is up.
    pub(super) deadline: Option<Instant>,
}

impl Tries<'_> {
    pub(super) async fn run(
        &self,
        first: Request<WasiBody>,
        spare: &Request<()>,
    ) -> Result<Answered, Fault> {
        let settings = &self.retry.settings;
        let (layer, visit) = (self.layer, self.visit);
        let deadline = sooner(visit.deadline(), self.deadline);
        let (mut request, mut tries) = (first, retry::Tries::default());
        let mut retrying = None;
        loop {
            // What a try leaves behind must not touch the next.
            let turn = visit.exchange.turn(visit.service);
            let of_try = settings.per_try_timeout.map(|limit| Instant::now() + limit);
            let until = of_try.map_or(self.deadline, |until| Some(sooner(until, self.deadline)));
            let answered = layer.guarded(visit.in_turn(&turn), request, until).await;
            visit.exchange.tried_as(&turn);
            let now = Instant::now();
            let pause = tries.next(
                settings,
                self.is_worth_another(&answered, spare),
                deadline.saturating_duration_since(now),
                random(),
                || {
                    retrying = Retrying::begin(layer, self.retry);
                    retrying.is_some()
                },
                |most| visit.exchange.takes_retry(most),
            );
            let Some(pause) = pause else {
                if answered.is_ok() {
                    visit.exchange.keep(&turn);
                }
                return answered;
            };
            if let Ok(answered) = answered {
                answered.sender.hang_up();
            }
            sleep_until(now + pause).await;
            layer.traffic.tried_again();
            request = request_of(spare);
        }
    }

    fn is_worth_another(&self, answered: &Result<Answered, Fault>, spare: &Request<()>) -> bool {
        let is_idempotent = self.retry.methods.contains(spare.method().as_str());
        match answered {
            Ok(answered) => {
                let status = answered.response.status().as_u16();
                is_idempotent && self.retry.statuses.contains(&status)
            }
            Err(fault) => {
                let never_begun = matches!(fault.cause, Cause::QueueFull | Cause::NotReady);
                let unobserved = self.retry.retry_unobserved && (fault.unobserved || never_begun);
                (is_idempotent || unobserved) && self.retry.on.contains(&fault.cause)
            }
        }
    }
}

/// A request that is in a further try, as a part of its service's budget.
struct Retrying<'a>(&'a AtomicU32);

impl<'a> Retrying<'a> {
    fn begin(layer: Layer<'a>, retry: &Retry) -> Option<Self> {
        let retrying = &layer.guards.retrying;
        let active = u32::try_from(layer.traffic.active()).unwrap_or(u32::MAX);
        let more = |now: u32| retry.settings.has_budget(active, now).then_some(now + 1);
        retrying.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Self(retrying))
    }
}

impl Drop for Retrying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn sooner(one: Instant, other: Option<Instant>) -> Instant {
    other.map_or(one, |other| one.min(other))
}
