//! Runs a guest for a request and contains whatever comes of it.
//!
//! What a guest does is a future that owns its store: a task of its own, or, for an instance that serves one request at
//! a time, a part of that request's task until it has answered. Requests reach it as `Job`s. The request's side enforces
//! the wall-clock deadline from outside the store, since a computing guest keeps the store from being polled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::{Request, Response};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::Store;
use wasmtime::component::ResourceTableError;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_http::{FieldMapError, WasiBody};

use self::attend::{Attended, Guest, Hold};
use self::instance::{Claimant, Instance, Seat};
use self::lull::Watched;
use self::meter::{Meter, Metered, Payer};
use self::place::place;
use self::program::{Entry, Program};
use self::queue::Queue;
use self::sender::Sender;
use self::state::{MemoryLimit, State};
use super::body;
use super::body::early::Early;
use super::call::{Errand, Telephone};
use super::exchange::Exchange;
use super::gate::Slot;
use crate::capability::egress::Egress;
use crate::capability::functions::CalleeFailed;
use crate::capability::output::{LogStream, Stream};
use crate::engine::clock::Ticking;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::pool::Claim;
use crate::registry::{Lease, Revision, Standing};
use crate::replay::told::Told;
use crate::telemetry::traffic::Held;

pub use self::probe::probe;

mod attend;
mod command;
pub(crate) mod functions;
mod http_02;
mod http_03;
pub(crate) mod instance;
pub(crate) mod instances;
pub(crate) mod lull;
pub(crate) mod meter;
mod place;
mod probe;
pub(crate) mod program;
mod queue;
pub(crate) mod sender;
pub mod state;

/// What an instance answers a request with.
type Answer = Result<Response<WasiBody>, Fault>;

/// What an instance is to do.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) request: Request<WasiBody>,
    pub(crate) exchange: Arc<Exchange>,
    /// What its calls belong to, if it may make any.
    pub(crate) errand: Option<Arc<Errand>>,
    /// Whose CPU time this is a part of; None for a request from outside.
    pub(crate) payer: Option<Payer>,
    /// For a request that is recorded, or replayed: it has an instance of its own.
    pub(crate) told: Option<Told>,
    pub(crate) deadline: Instant,
}

/// A request on its way into an instance. Its guards come free when the guest is done with it.
#[derive(Debug)]
pub(crate) struct Job {
    request: Request<WasiBody>,
    reply: oneshot::Sender<Answer>,
    exchange: Arc<Exchange>,
    errand: Option<Arc<Errand>>,
    payer: Option<Payer>,
    told: Option<Told>,
    seat: Option<Seat>,
    guards: (Slot, Lease),
}

/// An answer, and who still sends its body.
pub(crate) struct Answered {
    pub(crate) response: Response<Early>,
    pub(crate) sender: Sender,
}

/// Has the `program` of `lease`'s revision answer the request.
///
/// # Errors
/// Every way in which a guest can fail to answer by the task's deadline.
pub(crate) async fn call(
    core: &Arc<Core>,
    standing: &Standing,
    program: &Arc<Program>,
    (slot, lease): (Slot, Lease),
    task: Task,
) -> Result<Answered, Fault> {
    let deadline = task.deadline;
    let (reply, answer) = oneshot::channel();
    let revision = lease.revision.clone();
    let (exchange, instances_of) = (task.exchange.clone(), revision.clone());
    let limits = &instances_of.config.limits;
    let mut job = Some(Box::new(Job {
        request: task.request,
        reply,
        exchange: task.exchange,
        errand: task.errand,
        payer: task.payer,
        told: task.told,
        seat: None,
        guards: (slot, lease),
    }));
    let placed = place(core, standing, (revision, program), &mut job, deadline).await;
    // What finds no place has not begun.
    let (claimant, guest) = placed.map_err(|fault| Fault {
        unobserved: true,
        ..fault
    })?;
    let (began, instance) = (Instant::now(), claimant.instance.clone());
    // Dropped after the guest, which is put down with it if need be.
    let hold = Hold(Some(claimant));
    match timeout_at(deadline, Attended { guest, answer }).await {
        Ok(Ok(answer)) => {
            let claimant = hold.keep()?;
            match answer {
                Ok(response) => {
                    let answered = attend::begun(response, claimant).await;
                    answered.ok_or_else(|| Cause::HostFailed.into())
                }
                Err(fault) => {
                    // The guest has said all that it will; others in its instance go on.
                    claimant.release();
                    Err(fault)
                }
            }
        }
        Ok(Err(_)) => Err(hold.fault()),
        Err(_) => {
            // What a caller in a hurry makes late says nothing of the instance.
            let is_its_own = !instance.awaits_others() && !exchange.awaits_caller();
            if is_its_own && !is_much_less(deadline - began, limits.timeout) {
                step_down(&instances_of, "a guest that did not answer in time");
            }
            Err(Fault::new(
                Cause::WallDeadline,
                "[limits] timeout, or what its caller gave it, passed before the guest answered",
            ))
        }
    }
}

/// By which factor a caller has to give a service less than it allows itself for what comes of it not to count. Callers
/// that allow themselves as much have a little less left when they call.
const MUCH_LESS: u32 = 2;

/// Whether `given` is much less than a service's `own`.
pub(super) fn is_much_less(given: Duration, own: Duration) -> bool {
    given * MUCH_LESS < own
}

/// Has instances of the revision serve one request each for a while, if they served more.
fn step_down(revision: &Revision, why: &str) {
    if let Some(time) = revision.instances.failed() {
        let (service, revision) = (revision.config.name.as_ref(), revision.number);
        let seconds = time.as_secs();
        tracing::warn!(
            service,
            revision,
            why,
            seconds,
            "each request has a fresh instance for now"
        );
    }
}

/// Starts an instance whose first request is `job`. One that serves others at the same time has its own task, one that
/// works for this request alone is given back.
fn start(
    core: &Arc<Core>,
    standing: &Standing,
    (revision, program): (Arc<Revision>, &Arc<Program>),
    claim: Claim,
    mut job: Box<Job>,
) -> (Claimant, Option<Guest>) {
    let told = job.told.take();
    let (seat, claimant, queue) = match &told {
        Some(_) => revision.instances.create_alone(),
        None => revision.instances.create(),
    };
    job.seat = Some(seat);
    let instance = claimant.instance.clone();
    let heavy = revision.instances.are_heavy();
    let meter = Arc::new(Meter::billed_to(standing.traffic.cpu_total(), heavy));
    let of_revision = revision.clone();
    let life = Life {
        core: core.clone(),
        _alive: revision.alive(),
        revision,
        program: program.clone(),
        instance: instance.clone(),
        meter: meter.clone(),
        memory: standing.traffic.memory_sum(),
        lane: Handle::current(),
        is_short_of_cpu: AtomicBool::new(false),
        told,
        claim,
    };
    let future = Watched::new(Box::pin(life.live(job, queue)));
    let busy = instance.clone();
    let life = Metered::new(busy_lane(core), meter, future, move || {
        of_revision.instances.moves(&busy);
    });
    let guest = Guest { life, instance };
    if claimant.instance.is_exclusive() {
        (claimant, Some(guest))
    } else {
        guest.go();
        (claimant, None)
    }
}

/// Where guests that compute for long go, and the clock that finds them.
fn busy_lane(core: &Core) -> (Handle, Ticking) {
    (core.busy_lane.clone(), core.engines.clock.tick())
}

/// One instance's life.
struct Life {
    core: Arc<Core>,
    revision: Arc<Revision>,
    program: Arc<Program>,
    instance: Arc<Instance>,
    meter: Arc<Meter>,
    /// Where it is added up what the service's instances hold.
    memory: Arc<AtomicU64>,
    /// Where its calls run: not where guests go that compute for long.
    lane: Handle,
    /// Whether the newest request has much less CPU time than the service allows itself.
    is_short_of_cpu: AtomicBool,
    told: Option<Told>,
    _alive: TaskTrackerToken,
    // Dropped last: the claim comes back after the store is gone.
    claim: Claim,
}

// However the instance ends, an abort and a panic included, nobody is seated there any more.
impl Drop for Life {
    fn drop(&mut self) {
        let instances = &self.revision.instances;
        instances.close(&self.instance);
        instances.learn(&self.meter);
        self.revision.usage.add(self.meter.used());
    }
}

impl Life {
    async fn live(self, first: Box<Job>, queue: Queue) {
        let live = async {
            match &self.program.entry {
                Entry::Http02(entry) => http_02::live(&self, entry, first, queue).await,
                Entry::Http03(entry) => http_03::live(&self, Some(entry), first, queue).await,
                Entry::Command(entry) => command::live(&self, entry, first).await,
                Entry::None => http_03::live(&self, None, first, queue).await,
            }
        };
        tokio::select! {
            biased;
            () = live => {}
            // Polled outside the store: a guest that blocks keeps the store from looking at its own timers.
            () = self.outlived() => {}
        }
    }

    /// Ends when the instance has worked for nobody for as long as a request may take, or is cut off.
    async fn outlived(&self) {
        let timeout = self.revision.config.limits.timeout;
        loop {
            tokio::time::sleep(timeout.min(body::LOOK)).await;
            let late = if self.revision.instances.is_cut() {
                Fault::new(
                    Cause::Draining,
                    "[timeouts] drain passed before the answer was out",
                )
            } else if self.instance.unattended() >= timeout {
                Fault::new(
                    Cause::WallDeadline,
                    "the guest went on for longer than [limits] timeout after its answer",
                )
            } else {
                continue;
            };
            let (service, revision) = (self.revision.config.name.as_ref(), self.revision.number);
            tracing::warn!(service, revision, detail = late.detail, "instance stopped");
            return self.instance.ends(late);
        }
    }

    /// A store with nothing in it but what the revision is allowed.
    fn store(&self, wasi: &mut WasiCtxBuilder) -> Store<State> {
        let telephone = Telephone::new(&self.core, &self.meter, &self.lane);
        if let Some(told) = &self.told {
            told.tell(wasi);
        }
        let mut store = store(
            &self.core,
            (&self.revision, &self.program),
            &self.meter,
            Held::in_sum(self.memory.clone()),
            (Some(telephone), self.instance.outgoing.clone()),
            wasi,
        );
        store.data_mut().is_told(self.told.clone());
        store
    }

    /// Whether the instance may take another request after those it has had.
    fn stays_open(&self) -> bool {
        let is_its_own = !self.claim.borrowed && !self.claim.is_wanted_back();
        !self.instance.is_closed() && is_its_own && !self.meter.is_busy()
    }

    /// Gives the guest the CPU time of a request, which for a call is no more than what its `payer` has left; to an
    /// instance that has no other request, nothing more than that.
    fn grant(&self, payer: Option<&Payer>, alone: bool) {
        if alone {
            self.meter.settle();
        }
        let limit = self.revision.config.limits.cpu;
        match payer {
            None => {
                self.is_short_of_cpu.store(false, Relaxed);
                self.meter.grant(limit);
            }
            // It has its allowance already.
            Some(payer) if payer.is(&self.meter) && !alone => {}
            Some(payer) => {
                let left = payer.left();
                self.is_short_of_cpu
                    .store(is_much_less(left, limit), Relaxed);
                self.meter.grant(limit.min(left));
            }
        }
    }

    /// Says what ended the guest, in the order of what explains most.
    fn fault(&self, error: &wasmtime::Error, state: &State, otherwise: Cause) -> Fault {
        let mut fault = classify(error, state, &self.meter, otherwise);
        fault.unobserved = !state.has_sent();
        let is_own = match fault.cause {
            Cause::GuestTrapped | Cause::GuestOutOfMemory => true,
            Cause::CpuDeadline => !self.is_short_of_cpu.load(Relaxed),
            _ => false,
        };
        if is_own {
            step_down(&self.revision, fault.cause.as_str());
        }
        self.instance.ends(fault.clone());
        fault
    }
}

/// Random bytes that a guest gets in one call: a call of the host runs to its end, whoever else waits for the thread.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// A store that holds one instance of `revision`.
pub(crate) fn store(
    core: &Arc<Core>,
    (revision, program): (&Arc<Revision>, &Program),
    meter: &Arc<Meter>,
    held: Held,
    (telephone, requests): (Option<Telephone>, Arc<Semaphore>),
    wasi: &mut WasiCtxBuilder,
) -> Store<State> {
    let config = &revision.config;
    wasi.max_random_size(RANDOM_BYTES_MAX);
    for (name, value) in &config.env {
        wasi.env(name, value);
    }
    wasi.stderr(LogStream::new(Stream::Stderr, revision.output.clone()));
    let egress = Egress::new(core, revision, telephone, requests);
    let peak = revision.usage.memory_peak.clone();
    let memory = MemoryLimit::new(config.limits.memory, peak, held);
    let state = State::new(wasi.build(), egress, memory, meter.clone());
    state::limited_store(core.engines.engine(program.kind()), state)
}

fn classify(error: &wasmtime::Error, state: &State, meter: &Meter, otherwise: Cause) -> Fault {
    let cause = if meter.exceeded() {
        Cause::CpuDeadline
    } else if state.ran_out_of_memory() || hoarded(error) {
        Cause::GuestOutOfMemory
    } else if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        Cause::PoolExhausted
    } else if error.is::<wasmtime_wasi::I32Exit>() {
        Cause::NoResponse
    } else if let Some(failed) = error.downcast_ref::<CalleeFailed>() {
        return Fault::new(Cause::CalleeFailed, failed);
    } else {
        otherwise
    };
    Fault::new(cause, format!("{error:?}"))
}

/// Whether the guest made the host keep more for it than it may: resources, or headers.
fn hoarded(error: &wasmtime::Error) -> bool {
    let resources = error.downcast_ref::<ResourceTableError>();
    let headers = error.downcast_ref::<FieldMapError>();
    matches!(resources, Some(ResourceTableError::Full))
        || matches!(headers, Some(FieldMapError::TotalSizeTooBig))
}
