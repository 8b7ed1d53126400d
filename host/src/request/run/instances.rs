//! The live instances of a revision: which one takes a request.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use skep_policy::isolation::StepDown;

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
    isolation: Isolation,
}

/// Whether instances are used again, or fresh for a while since one has failed.
#[derive(Debug)]
struct Isolation {
    start: Instant,
    /// For how long, the first time.
    base: Duration,
    state: Mutex<StepDown>,
    /// Whether `state` has to be asked.
    is_down: AtomicBool,
}

impl Reuse {
    fn of(config: &ServiceConfig, program: &Program) -> Self {
        let defaults = match program.entry {
            Entry::Http03(_) => HTTP_03_DEFAULT,
            Entry::Http02(_) | Entry::Command(_) | Entry::None => FRESH,
        };
        let serves_several = program.kind() == Kind::Concurrent && !program.calls_functions;
        let requests = config.instances.reuse.unwrap_or(defaults.requests);
        let at_once = if serves_several {
            config.instances.concurrency.unwrap_or(defaults.at_once)
        } else {
            1
        };
        let requests = if program.is_command() { 1 } else { requests };
        Self {
            requests,
            at_once: at_once.min(requests),
        }
    }
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
    /// None yet of the program; never any if there is none.
    pub(crate) fn new(config: &ServiceConfig, program: Option<&Program>) -> Self {
        let reuse = program.map_or(FRESH, |program| Reuse::of(config, program));
        Self {
            reuse,
            open: Mutex::default(),
            freed: Arc::default(),
            cut: AtomicBool::new(false),
            heavy: AtomicBool::new(false),
            isolation: Isolation::new(config.instances.step_down),
        }
    }

    /// How the next instance is used.
    fn reuse_now(&self) -> Reuse {
        if self.is_stepped_down() {
            FRESH
        } else {
            self.reuse
        }
    }

    /// Whether each request has a fresh instance for now, since one that is used again has failed.
    pub(crate) fn is_stepped_down(&self) -> bool {
        let isolation = &self.isolation;
        if !isolation.is_down.load(Relaxed) {
            return false;
        }
        let state = isolation.state();
        let is_down = state.is_down(isolation.start.elapsed());
        isolation.is_down.store(is_down, Relaxed);
        is_down
    }

    /// A guest trapped or ran out of time: who else is in such an instance, or comes after, would suffer for it. For how
    /// long instances are fresh now, if they have not been already.
    pub(crate) fn failed(&self) -> Option<Duration> {
        let isolation = &self.isolation;
        if self.reuse.requests == 1 || isolation.base.is_zero() {
            return None;
        }
        let now = isolation.start.elapsed();
        let mut state = isolation.state();
        let begins = state.failed(now, isolation.base);
        isolation.is_down.store(true, Relaxed);
        let until = state.until();
        drop(state);
        begins.then(|| {
            self.shut_all();
            until - now
        })
    }

    /// Hands the job to an instance that has room for it, if there is one `within` reach; else the job stays where it is.
    pub(crate) fn offer(&self, job: &mut Option<Box<Job>>, within: Reach) -> Option<Claimant> {
        if self.reuse.requests == 1 || self.is_stepped_down() {
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
        let reuse = self.reuse_now();
        let (seat, claimant, queue) = Instance::create(reuse, self.freed.clone());
        if reuse.requests > 1 {
            let mut open = self.open();
            if open.retired {
                claimant.instance.load().closed = true;
            } else {
                open.instances.push(claimant.instance.clone());
            }
        }
        (seat, claimant, queue)
    }

    /// A new instance that serves one request and nobody else's.
    pub(crate) fn create_alone(&self) -> (Seat, Claimant, Queue) {
        Instance::create(FRESH, self.freed.clone())
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
        self.open().retired = true;
        self.shut_all();
    }

    /// No instance that there is gets another request.
    fn shut_all(&self) {
        for instance in self.open().instances.drain(..) {
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

impl Isolation {
    fn new(base: Duration) -> Self {
        Self {
            start: Instant::now(),
            base,
            state: Mutex::default(),
            is_down: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, StepDown> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
