//! One live instance as requests see it: its seats, who still waits for what, and how it is put down.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

use super::instances::Reuse;
use super::lull::Lull;
use super::queue::{self, Entrance, Queue};
use crate::capability::egress::REQUESTS_PER_INSTANCE_MAX;
use crate::fault::{Cause, Fault};

/// The host's handle on one instance, whose task owns the store.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(super) entrance: Entrance,
    /// The lane that it lives on: elsewhere a request and its answer have to wake another thread.
    pub(super) lane: ThreadId,
    requests_max: u32,
    exclusive: bool,
    load: Mutex<Load>,
    abort: OnceLock<AbortHandle>,
    freed: Arc<Freed>,
    /// Set when it has a task of its own on its lane.
    lull: OnceLock<Arc<Lull>>,
    /// Why the instance ended, set before its store is dropped.
    end: OnceLock<Fault>,
    /// A permit less for each request that the guest has sent and that is not answered.
    pub(super) outgoing: Arc<Semaphore>,
}

#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) in_flight: u32,
    /// Those of `in_flight` that nobody waits for any more.
    pub(super) abandoned: u32,
    /// Those of `in_flight` whose answer is out, while the guest goes on.
    pub(super) released: u32,
    pub(super) accepted: u32,
    pub(super) closed: bool,
    /// It is to end at once.
    pub(super) down: bool,
    /// Since when the instance works for nobody.
    pub(super) unattended: Option<Instant>,
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

/// Tells requests that wait for the pool of seats that are free again.
#[derive(Debug, Default)]
pub(crate) struct Freed {
    waiting: AtomicU32,
    notify: Notify,
}

impl Freed {
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, SeqCst);
        Waiting(self)
    }
}

/// A request that waits for a seat.
pub(crate) struct Waiting<'a>(&'a Freed);

impl Waiting<'_> {
    /// Resolves when a seat was freed. What is freed once this has been called is not missed, even if the future is
    /// polled later.
    pub(crate) fn freed(&self) -> Pin<Box<Notified<'_>>> {
        let mut freed = Box::pin(self.0.notify.notified());
        freed.as_mut().enable();
        freed
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
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
    /// An instance on this thread's lane, with a seat for its first request, and the queue of those that follow.
    pub(super) fn create(reuse: Reuse, freed: Arc<Freed>) -> (Seat, Claimant, Queue) {
        let (entrance, queue) = queue::of_requests(reuse.requests);
        let instance = Arc::new(Self {
            entrance,
            lane: thread::current().id(),
            requests_max: reuse.requests,
            exclusive: reuse.at_once == 1,
            load: Mutex::default(),
            abort: OnceLock::new(),
            freed,
            lull: OnceLock::new(),
            end: OnceLock::new(),
            outgoing: Arc::new(Semaphore::new(REQUESTS_PER_INSTANCE_MAX)),
        });
        let (seat, claimant) = instance.seat(&mut instance.load());
        (seat, claimant, queue)
    }

    pub(super) fn seat(self: &Arc<Self>, load: &mut Load) -> (Seat, Claimant) {
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

    /// Whether the guest may be waiting for somebody else's answer.
    pub(super) fn awaits_others(&self) -> bool {
        self.outgoing.available_permits() < REQUESTS_PER_INSTANCE_MAX
    }

    /// Whether it serves one request at a time.
    pub(super) fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// Lets the instance be put down from outside.
    pub(crate) fn started(&self, abort: AbortHandle) {
        let mut load = self.load();
        if self.abort.set(abort).is_ok() {
            if load.down {
                self.put_down(&mut load);
            }
            self.put_down_if_useless(&mut load);
        }
    }

    /// Lets requests know through `lull` when the instance rests.
    pub(super) fn tells(&self, lull: Arc<Lull>) {
        // There is one task.
        drop(self.lull.set(lull));
    }

    /// Ends when the instance has nothing to do for now; at once if that is not known.
    pub(crate) async fn rests(&self) {
        if let Some(lull) = self.lull.get() {
            lull.came().await;
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

    pub(super) fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_down_if_useless(&self, load: &mut Load) {
        if load.closed && load.abandoned > 0 && load.in_flight == load.abandoned + load.released {
            self.put_down(load);
        }
    }

    /// Now, or as soon as it has a task.
    pub(super) fn put_down(&self, load: &mut Load) {
        load.down = true;
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
        self.instance.put_down_if_useless(&mut load);
        let freed = &self.instance.freed;
        if !load.closed && freed.waiting.load(SeqCst) > 0 {
            freed.notify.notify_one();
        }
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
        self.instance.put_down_if_useless(&mut load);
    }

    fn is_over(&self) -> bool {
        self.ticket.left.load(SeqCst) || self.ticket.abandoned.load(SeqCst)
    }
}
