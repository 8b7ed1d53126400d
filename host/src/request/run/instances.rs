//! The live instances of a revision: which one takes a request, and how one is put down.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::meter::Meter;
use super::{Job, Program};
use crate::config::ServiceConfig;
use crate::fault::{Cause, Fault};

/// The requests of an instance that it has not begun with.
pub(crate) type Queue = mpsc::UnboundedReceiver<Box<Job>>;

/// How requests are spread over instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reuse {
    /// Requests that an instance serves in its life.
    pub(crate) requests: u32,
    /// Requests that it serves at once.
    pub(crate) at_once: u32,
}

const HTTP_03_DEFAULT: Reuse = Reuse {
    requests: 128,
    at_once: 16,
};
const FRESH: Reuse = Reuse {
    requests: 1,
    at_once: 1,
};

/// Instances that may take more requests.
#[derive(Debug)]
pub(crate) struct Instances {
    pub(crate) reuse: Reuse,
    open: Mutex<Vec<Arc<Instance>>>,
    cut: AtomicBool,
    /// Whether the newest instance that ended, or that went to the busy lane, computed for long.
    heavy: AtomicBool,
}

/// Where an instance is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// On the lane of the request.
    OwnLane,
    /// Anywhere.
    AnyLane,
}

/// The host's handle on one instance, whose task owns the store.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Boxed: a queue has room for many from its start.
    jobs: mpsc::UnboundedSender<Box<Job>>,
    /// The lane that it lives on: elsewhere a request and its answer have to wake another thread.
    lane: ThreadId,
    requests_max: u32,
    exclusive: bool,
    load: Mutex<Load>,
    abort: OnceLock<AbortHandle>,
    /// Why the instance ended, set before its store is dropped.
    end: OnceLock<Fault>,
}

#[derive(Debug, Default)]
struct Load {
    in_flight: u32,
    /// Those of `in_flight` that nobody waits for any more.
    abandoned: u32,
    /// Those of `in_flight` whose answer is out, while the guest goes on.
    released: u32,
    accepted: u32,
    closed: bool,
    /// Since when the instance works for nobody.
    unattended: Option<Instant>,
}

impl Load {
    fn note_attendance(&mut self) {
        let unattended =
            self.in_flight == self.abandoned + self.released && (self.closed || self.in_flight > 0);
        self.unattended = if unattended {
            self.unattended.or_else(|| Some(Instant::now()))
        } else {
            None
        };
    }
}

/// One request's place in an instance; owned by the job, so that it is free when the guest is done.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) instance: Arc<Instance>,
    ticket: Arc<Ticket>,
}

/// Tells the request's side from the guest's side.
#[derive(Debug, Default)]
struct Ticket {
    abandoned: AtomicBool,
    released: AtomicBool,
    left: AtomicBool,
    finished: AtomicBool,
}

/// The request's side of a seat.
#[derive(Debug)]
pub(crate) struct Claimant {
    pub(crate) instance: Arc<Instance>,
    ticket: Arc<Ticket>,
}

impl Instances {
    pub(crate) fn new(config: &ServiceConfig, program: &Program) -> Self {
        let defaults = if program.is_concurrent() {
            HTTP_03_DEFAULT
        } else {
            FRESH
        };
        let requests = config.instances.reuse.unwrap_or(defaults.requests);
        let at_once = if program.is_concurrent() {
            config.instances.concurrency.unwrap_or(defaults.at_once)
        } else {
            1
        };
        let requests = if program.is_command() { 1 } else { requests };
        Self {
            reuse: Reuse {
                requests,
                at_once: at_once.min(requests),
            },
            open: Mutex::default(),
            cut: AtomicBool::new(false),
            heavy: AtomicBool::new(false),
        }
    }

    /// Hands the job to an instance that has room for it, if there is one `within` reach; else the job stays where it is.
    pub(crate) fn offer(&self, job: &mut Option<Box<Job>>, within: Reach) -> Option<Claimant> {
        if self.reuse.requests == 1 {
            return None;
        }
        loop {
            let mut offered = job.take()?;
            let Some((seat, claimant)) = self.find_seat(within) else {
                *job = Some(offered);
                return None;
            };
            offered.seat = Some(seat);
            let Err(refused) = claimant.instance.jobs.send(offered) else {
                return Some(claimant);
            };
            self.close(&claimant.instance);
            let mut refused = refused.0;
            refused.seat = None;
            *job = Some(refused);
        }
    }

    fn find_seat(&self, within: Reach) -> Option<(Seat, Claimant)> {
        let here = thread::current().id();
        let mut open = self.open();
        let reached = open
            .iter()
            .rev()
            .filter(|instance| within == Reach::AnyLane || instance.lane == here);
        let (seat, full) = { reached }.find_map(|instance| {
            let mut load = instance.load();
            if load.closed || load.in_flight >= self.reuse.at_once {
                return None;
            }
            let seated = instance.seat(&mut load);
            Some((seated, load.closed))
        })?;
        if full {
            open.retain(|instance| !Arc::ptr_eq(instance, &seat.1.instance));
        }
        Some(seat)
    }

    /// A new instance with a seat for its first request, and the queue of those that follow.
    pub(crate) fn create(&self) -> (Seat, Claimant, Queue) {
        let (jobs, queue) = mpsc::unbounded_channel();
        let instance = Arc::new(Instance {
            jobs,
            lane: thread::current().id(),
            requests_max: self.reuse.requests,
            exclusive: self.reuse.at_once == 1,
            load: Mutex::default(),
            abort: OnceLock::new(),
            end: OnceLock::new(),
        });
        let (seat, claimant) = {
            let mut load = instance.load();
            instance.seat(&mut load)
        };
        if self.reuse.requests > 1 {
            self.open().push(instance);
        }
        (seat, claimant, queue)
    }

    /// Whether an instance serves one request at a time.
    pub(crate) fn are_exclusive(&self) -> bool {
        self.reuse.at_once == 1
    }

    /// Takes the instance out of those that may get more requests.
    pub(crate) fn close(&self, instance: &Arc<Instance>) {
        instance.shut();
        self.open().retain(|other| !Arc::ptr_eq(other, instance));
    }

    /// Ends every instance that has nothing to do and keeps the others from getting more.
    pub(crate) fn retire(&self) {
        for instance in self.open().drain(..) {
            let mut load = instance.load();
            load.closed = true;
            if load.in_flight == 0 {
                instance.put_down();
            }
        }
    }

    /// Every instance is to end soon, whatever it does.
    pub(crate) fn cut(&self) {
        self.cut.store(true, SeqCst);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(SeqCst)
    }

    /// Whether the next instance is likely to compute for long.
    pub(crate) fn are_heavy(&self) -> bool {
        self.heavy.load(Relaxed)
    }

    /// An instance goes to the busy lane. It gets no more requests, which would wait for it.
    pub(crate) fn moves(&self, instance: &Instance) {
        self.heavy.store(true, Relaxed);
        instance.shut();
    }

    /// An instance has ended. One that was on the busy lane and was short after all clears the way for the next.
    pub(crate) fn learn(&self, meter: &Meter) {
        if meter.is_busy() {
            self.heavy.store(meter.computed_for_long(), Relaxed);
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Instance>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says why an instance ended when its task is dropped or panics. To be declared after the store, so that it is
/// dropped first: a body whose sender is gone looks as if it were whole.
pub(crate) struct Ending(Option<Arc<Instance>>);

impl Ending {
    pub(crate) fn of(instance: &Arc<Instance>) -> Self {
        Self(Some(instance.clone()))
    }

    /// The instance ends as it should.
    pub(crate) fn well(mut self) {
        self.0 = None;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(instance) = self.0.take() else {
            return;
        };
        instance.ends(if std::thread::panicking() {
            Fault::new(
                Cause::HostFailed,
                "the instance's task panicked; see the log",
            )
        } else {
            Fault::new(Cause::WallDeadline, "the instance was stopped")
        });
    }
}

impl Instance {
    fn seat(self: &Arc<Self>, load: &mut Load) -> (Seat, Claimant) {
        load.in_flight += 1;
        load.accepted += 1;
        load.closed |= load.accepted >= self.requests_max;
        load.unattended = None;
        let ticket = Arc::new(Ticket::default());
        (
            Seat {
                instance: self.clone(),
                ticket: ticket.clone(),
            },
            Claimant {
                instance: self.clone(),
                ticket,
            },
        )
    }

    /// Lets the instance be put down from outside.
    pub(crate) fn started(&self, abort: AbortHandle) {
        if self.abort.set(abort).is_ok() {
            let load = self.load();
            self.put_down_if_useless(&load);
        }
    }

    /// Records why the instance ends. Only the first reason counts.
    pub(crate) fn ends(&self, fault: Fault) {
        self.shut();
        // Later reasons are consequences of the first.
        drop(self.end.set(fault));
    }

    /// Why the instance ended, if it did by a fault.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.end.get().cloned()
    }

    /// Whether the instance takes no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.load().closed
    }

    /// No more requests for this instance.
    pub(crate) fn shut(&self) {
        let mut load = self.load();
        load.closed = true;
        load.note_attendance();
    }

    /// How long the instance has worked for nobody.
    pub(crate) fn unattended(&self) -> Duration {
        self.load()
            .unattended
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_down_if_useless(&self, load: &Load) {
        if load.closed && load.abandoned > 0 && load.in_flight == load.abandoned + load.released {
            self.put_down();
        }
    }

    fn put_down(&self) {
        if let Some(abort) = self.abort.get() {
            abort.abort();
        }
    }
}

impl Seat {
    /// The guest has done with the request, and well: what becomes of its instance later is no matter of this one.
    pub(crate) fn finish(&self) {
        self.ticket.finished.store(true, SeqCst);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut load = self.instance.load();
        load.in_flight -= 1;
        self.ticket.left.store(true, SeqCst);
        if self.ticket.abandoned.load(SeqCst) {
            load.abandoned -= 1;
        } else if self.ticket.released.load(SeqCst) {
            load.released -= 1;
        }
        load.note_attendance();
        self.instance.put_down_if_useless(&load);
    }
}

impl Claimant {
    /// Why the instance ended before it had done with the request, if it did by a fault.
    pub(crate) fn stopped(&self) -> Option<Fault> {
        if self.ticket.finished.load(SeqCst) {
            return None;
        }
        self.instance.fault()
    }

    /// The whole answer is out: the guest may finish what it does, for as long as a request may take.
    pub(crate) fn release(&self) {
        let mut load = self.instance.load();
        if self.is_over() || self.ticket.released.swap(true, SeqCst) {
            return;
        }
        load.released += 1;
        load.note_attendance();
    }

    /// The caller has closed its connection in the middle of the answer. An instance that works for it alone is put
    /// down; one that it shares goes on.
    pub(crate) fn hang_up(&self) {
        if self.instance.exclusive {
            self.abandon()
        } else {
            self.release()
        }
    }

    /// Gives the request up. The instance gets no more requests and is put down as soon as nobody waits for any that
    /// it still has.
    pub(crate) fn abandon(&self) {
        let mut load = self.instance.load();
        if self.is_over() || self.ticket.released.load(SeqCst) {
            return;
        }
        self.ticket.abandoned.store(true, SeqCst);
        load.closed = true;
        load.abandoned += 1;
        load.note_attendance();
        self.instance.put_down_if_useless(&load);
    }

    fn is_over(&self) -> bool {
        self.ticket.left.load(SeqCst) || self.ticket.abandoned.load(SeqCst)
    }
}

#[cfg(test)]
pub(crate) mod tests;
