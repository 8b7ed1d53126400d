//! A request at the service that is to answer it: by the service's rules, and then by a guest. From here the way is the
//! same for requests from outside and for calls.

use std::sync::Arc;

use http::Request;
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;

use super::backend::{Backend, Holds};
use super::body::early::Early;
use super::call::Errand;
use super::exchange::Exchange;
use super::gate::{Sample, Slot};
use super::run::meter::Payer;
use super::run::sender::Sender;
use super::run::{self, Answered, Task, is_much_less};
use super::tolerate::{Below, Layer};
use super::{lease, send};
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Lease, Service, Snapshot};
use crate::replay::notebook;
use crate::replay::told::Told;

/// Who is asked, for what exchange, among which services.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) snapshot: &'a Arc<Snapshot>,
    pub(super) service: &'a Arc<Service>,
    pub(super) exchange: &'a Arc<Exchange>,
    /// Whose CPU time this is a part of; None for a request from outside.
    payer: Option<&'a Payer>,
    /// When this try of it began.
    began: Instant,
    /// When the time is up that others give it, if that is sooner than the request's own.
    until: Option<Instant>,
}

impl<'a> Visit<'a> {
    pub(super) fn new(
        core: &'a Arc<Core>,
        snapshot: &'a Arc<Snapshot>,
        service: &'a Arc<Service>,
        exchange: &'a Arc<Exchange>,
        payer: Option<&'a Payer>,
    ) -> Self {
        Self {
            core,
            snapshot,
            service,
            exchange,
            payer,
            began: exchange.started,
            until: None,
        }
    }

    /// The same as a part of another exchange.
    pub(super) fn in_turn<'b>(self, turn: &'b Arc<Exchange>) -> Visit<'b>
    where
        'a: 'b,
    {
        Visit {
            exchange: turn,
            began: Instant::now(),
            ..self
        }
    }

    /// The same at another service.
    pub(super) fn of(self, service: &'a Arc<Service>) -> Self {
        Self { service, ..self }
    }

    /// The same, until then at the latest.
    pub(super) fn until(self, until: Option<Instant>) -> Self {
        let sooner = [self.until, until].into_iter().flatten().min();
        Self {
            until: sooner,
            ..self
        }
    }

    /// When the time is up.
    pub(super) fn deadline(self) -> Instant {
        let deadline = self.exchange.deadline(self.service);
        self.until.map_or(deadline, |until| until.min(deadline))
    }

    /// Whether whoever asks gave it much less time than the service allows itself: what is late then says nothing of it.
    pub(super) fn is_hurried(self) -> bool {
        let given = self.deadline() - self.began;
        is_much_less(given, self.service.config.limits.timeout)
    }

    /// Whether whoever asks had much less CPU time left than the service allows itself.
    pub(super) fn is_short_of_cpu(self) -> bool {
        let cpu = self.service.config.limits.cpu;
        self.payer
            .is_some_and(|payer| is_much_less(payer.left(), cpu))
    }

    /// Has the service answer.
    pub(super) async fn reach(self, request: Request<WasiBody>) -> Result<Answered, Fault> {
        let tolerance = &self.service.config.tolerance;
        if tolerance.is_plain() {
            return self.attempt(request).await;
        }
        let standing = &self.service.standing;
        let rules = Layer {
            places: None,
            tolerance,
            guards: &standing.guards,
            traffic: &standing.traffic,
            timeout: None,
            below: Below::Guest,
        };
        rules.boxed(self, request).await
    }

    /// Has a guest of the service answer, or what it has instead of guests.
    pub(super) async fn attempt(self, request: Request<WasiBody>) -> Result<Answered, Fault> {
        let Self {
            service, exchange, ..
        } = self;
        let deadline = self.deadline();
        let lease = lease::current(service)?;
        lease.revision.backend.takes(&request)?;
        let gate = &service.standing.gate;
        // What it waits for could be what waits for it.
        let (sample, slot) = if exchange.journey.has_passed(&service.name) {
            (None, gate.admit_at_once()?)
        } else {
            (gate.sample(deadline).await?, gate.admit(deadline).await?)
        };
        exchange.runs_on(&lease.revision);
        let answered = self.begun((slot, lease), sample, request, deadline).await;
        answered.inspect_err(|fault| exchange.failed_when_begun(fault))
    }

    /// From where the service may do something about the request.
    async fn begun(
        self,
        (slot, lease): (Slot, Lease),
        sample: Option<Sample>,
        request: Request<WasiBody>,
        deadline: Instant,
    ) -> Result<Answered, Fault> {
        let Self {
            service, exchange, ..
        } = self;
        let replays = &self.core.replays;
        let (request, notebook) =
            notebook::open(replays, service, &lease.revision, exchange, request);
        let told = notebook.clone().map(Told::Noted);
        let answered = tokio::select! {
            biased;
            answered = self.answer((slot, lease), request, told, deadline) => answered,
            fault = exchange.refused() => return Err(fault),
        };
        let answered = answered?;
        if !exchange.is_check {
            service.standing.gate.answered(sample);
        }
        // The guest may make anything of a body that was refused; the caller shall know why. And nothing of the answer
        // is out yet if the guest failed when it had begun with it.
        let failed = exchange.fault().cloned();
        if let Some(fault) = failed.or_else(|| answered.sender.stopped()) {
            answered.sender.hang_up();
            return Err(fault);
        }
        if let Err(fault) = send::check(&answered.response) {
            answered.sender.release();
            return Err(fault);
        }
        Ok(match notebook {
            Some(notebook) => notebook.listen(answered, exchange),
            None => answered,
        })
    }

    async fn answer(
        self,
        (slot, lease): (Slot, Lease),
        request: Request<WasiBody>,
        told: Option<Told>,
        deadline: Instant,
    ) -> Result<Answered, Fault> {
        let Self {
            service, exchange, ..
        } = self;
        // The one that the lease is on.
        let Some(revision) = &service.revision else {
            return Err(Cause::NotReady.into());
        };
        let holds = |slot, lease| Holds {
            exchange: exchange.clone(),
            lease,
            _slot: slot,
        };
        let response = match &revision.backend {
            Backend::Component(program) => {
                let task = Task {
                    request,
                    exchange: exchange.clone(),
                    errand: Errand::of(exchange, self.snapshot, service, deadline),
                    payer: self.payer.cloned(),
                    told,
                    deadline,
                };
                let held = (slot, lease);
                return run::call(self.core, &service.standing, program, held, task).await;
            }
            Backend::Upstream(upstream) => {
                let holds = holds(slot, lease);
                upstream
                    .answer(request, holds, deadline, self.is_hurried())
                    .await?
            }
            Backend::Files(files) => files.answer(request, holds(slot, lease), deadline).await?,
        };
        Ok(Answered {
            response: response.map(Early::of),
            sender: Sender::Host,
        })
    }
}
