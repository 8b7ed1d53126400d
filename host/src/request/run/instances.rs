//! The live instances of a revision: which one takes a request.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Job;
use super::instance::{Claimant, Freed, Instance, Seat, Waiting};
use super::meter::Meter;
use super::program::{Entry, Program};
use super::queue::Queue;
use crate::config::ServiceConfig;
use crate::engine::Kind;

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

/// A revision's instances.
#[derive(Debug)]
pub(crate) struct Instances {
    pub(crate) reuse: Reuse,
    open: Mutex<Open>,
    freed: Arc<Freed>,
    cut: AtomicBool,
    /// Whether the newest instance that went to the busy lane, or that ended there, computed for long.
    heavy: AtomicBool,
}

/// Those that may take more requests.
#[derive(Debug, Default)]
struct Open {
    instances: Vec<Arc<Instance>>,
    /// Every further instance is for one request.
    retired: bool,
}

/// Where an instance is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// On the lane of the request.
    OwnLane,
    /// Anywhere.
    AnyLane,
}

impl Instances {
    pub(crate) fn new(config: &ServiceConfig, program: &Program) -> Self {
        let defaults = match program.entry {
            Entry::Http03(_) => HTTP_03_DEFAULT,
            Entry::Http02(_) | Entry::Command(_) | Entry::None => FRESH,
        };
        let serves_several = program.kind() == Kind::Concurrent && !program.is_held_up;
        let requests = config.instances.reuse.unwrap_or(defaults.requests);
        let at_once = if serves_several {
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
            freed: Arc::default(),
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
            let Err(mut refused) = claimant.instance.entrance.send(offered) else {
                return Some(claimant);
            };
            self.close(&claimant.instance);
            refused.seat = None;
            *job = Some(refused);
        }
    }

    fn find_seat(&self, within: Reach) -> Option<(Seat, Claimant)> {
        let here = thread::current().id();
        let mut open = self.open();
        let reached = open
            .instances
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
            let full = &seat.1.instance;
            open.instances
                .retain(|instance| !Arc::ptr_eq(instance, full));
        }
        Some(seat)
    }

    /// A new instance with a seat for its first request, and the queue of those that follow.
    pub(crate) fn create(&self) -> (Seat, Claimant, Queue) {
        let (seat, claimant, queue) = Instance::create(self.reuse, self.freed.clone());
        if self.reuse.requests > 1 {
            let mut open = self.open();
            if open.retired {
                claimant.instance.load().closed = true;
            } else {
                open.instances.push(claimant.instance.clone());
            }
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
        if self.reuse.requests > 1 {
            let mut open = self.open();
            open.instances.retain(|other| !Arc::ptr_eq(other, instance));
        }
    }

    /// Ends every instance that has nothing to do.
    pub(crate) fn let_idle_go(&self) {
        self.open().instances.retain(|instance| {
            let mut load = instance.load();
            let is_idle = load.in_flight == 0;
            if is_idle {
                load.closed = true;
                instance.put_down(&mut load);
            }
            !is_idle
        });
    }

    /// Ends every instance that has nothing to do and keeps the others from getting more.
    pub(crate) fn retire(&self) {
        let mut open = self.open();
        open.retired = true;
        for instance in open.instances.drain(..) {
            let mut load = instance.load();
            load.closed = true;
            if load.in_flight == 0 {
                instance.put_down(&mut load);
            }
        }
    }

    /// Says that a request waits; while it does it is told of seats that are freed.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.freed.wait()
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

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
