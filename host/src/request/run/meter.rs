//! A guest's CPU time: measured, limited, and moved out of the way of the others.
//!
//! A guest starts on the lane of its request. Once it has computed for an epoch tick without a pause it moves to the
//! busy lane, whose threads the operating system schedules behind all others, and stays there; the revision's next
//! guest starts there, until one turns out to be short. So short requests hardly ever wait for a long one. A guest whose
//! thread was kept from running has not computed: on a machine that is short of processors the wall's clock alone would
//! move every guest.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::lull::{Lull, Watched};
use crate::engine::EPOCH_TICK;
use crate::engine::clock::Ticking;

/// CPU time that shows that a guest computes and does not only hold its thread.
const COMPUTES_MIN: Duration = Duration::from_micros(500);
const _: () = assert!(COMPUTES_MIN.as_nanos() < EPOCH_TICK.as_nanos());

/// What one instance has computed and may compute. Written by the task that polls the instance, read by its store.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Nanoseconds used in polls that are over.
    used: AtomicU64,
    /// Nanoseconds that may be used in the instance's life so far; grows with every request that it takes.
    allowance: AtomicU64,
    /// Nanoseconds that calls have used which the guest made for what it works on.
    paid: AtomicU64,
    /// How often the guest has begun with something new.
    fresh_starts: AtomicU64,
    /// When the current poll started, in nanoseconds of the clock that the lane is charged by; 0 between polls.
    poll_started: AtomicU64,
    /// The thread's CPU time in nanoseconds when the current poll was found to take long; 0 if it was not.
    suspected: AtomicU64,
    busy: AtomicBool,
    exceeded: AtomicBool,
    /// What the service's guests have used together, in nanoseconds; grows when an instance ends.
    total: Arc<AtomicU64>,
}

impl Meter {
    /// A meter whose reading is added to `total`, in nanoseconds, when the instance ends. The guest starts on the busy
    /// lane if it is `busy` from the start.
    pub(crate) fn billed_to(total: Arc<AtomicU64>, busy: bool) -> Self {
        let mut meter = Self::default();
        meter.total = total;
        meter.busy = busy.into();
        meter
    }

    /// Whether what was used so far is more than what a guest may use on a request's lane.
    pub(crate) fn computed_for_long(&self) -> bool {
        self.used() >= EPOCH_TICK
    }

    /// Allows `cpu` more, for one more request.
    pub(crate) fn grant(&self, cpu: Duration) {
        self.allowance.fetch_add(nanos(cpu), Relaxed);
    }

    /// Forgets what is left of earlier grants: an idle instance starts afresh.
    pub(crate) fn settle(&self) {
        self.fresh_starts.fetch_add(1, Relaxed);
        self.paid.store(0, Relaxed);
        self.allowance.store(self.used.load(Relaxed), Relaxed);
    }

    /// Nanoseconds used so far, the current poll's included if this is called in it.
    fn used_by_now(&self) -> u64 {
        let current = match self.poll_started.load(Relaxed) {
            0 => 0,
            started => self.clock().saturating_sub(started),
        };
        self.used.load(Relaxed) + current
    }

    /// CPU time used so far.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Relaxed))
    }

    /// Whether the guest was stopped because its allowance was used up.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    /// Whether the guest has moved to the busy lane.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Called by the store when the guest has run past its epoch deadline; says how it goes on.
    pub(crate) fn tick(&self) -> Tick {
        let current = self.clock().saturating_sub(self.poll_started.load(Relaxed));
        let before = self.used.load(Relaxed) + self.paid.load(Relaxed);
        let certain = if self.is_busy() { current } else { 0 };
        if before + certain > self.allowance.load(Relaxed) {
            self.exceeded.store(true, Relaxed);
            return Tick::Stop;
        }
        if !self.is_busy() {
            // The deadline also passes while a guest waits for something; then it has not computed for long.
            if current < nanos(EPOCH_TICK) {
                return Tick::Continue;
            }
            if !self.computes() {
                return Tick::LookAgain;
            }
            self.busy.store(true, Relaxed);
        }
        Tick::Yield
    }

    /// Whether the poll that takes long has really computed since it was first suspected of it.
    fn computes(&self) -> bool {
        let now = thread_cpu_nanos();
        match self.suspected.load(Relaxed) {
            0 => {
                self.suspected.store(now.max(1), Relaxed);
                false
            }
            suspected => now.saturating_sub(suspected) >= nanos(COMPUTES_MIN),
        }
    }

    /// Runs `poll` and charges it. A poll on a request's lane is short and charged by the wall, which is cheap, up to
    /// where it was found to take long; from there, and on the busy lane, only CPU time counts.
    fn charge<T>(&self, poll: impl FnOnce() -> T) -> T {
        let on_busy_lane = self.is_busy();
        let started = self.clock();
        self.poll_started.store(started, Relaxed);
        self.suspected.store(0, Relaxed);
        let result = poll();
        self.poll_started.store(0, Relaxed);
        let used = match (on_busy_lane, self.suspected.load(Relaxed)) {
            (true, _) => thread_cpu_nanos().saturating_sub(started),
            (false, 0) => wall_nanos().saturating_sub(started),
            (false, suspected) => nanos(EPOCH_TICK) + thread_cpu_nanos().saturating_sub(suspected),
        };
        self.used.fetch_add(used, Relaxed);
        result
    }

    fn clock(&self) -> u64 {
        if self.is_busy() {
            thread_cpu_nanos()
        } else {
            wall_nanos()
        }
    }
}

/// Who pays for a call: the guest that made it.
#[derive(Clone, Debug)]
pub(crate) struct Payer {
    meter: Arc<Meter>,
    /// Nanoseconds that it had left when it made the call, and that it had paid by then.
    left: u64,
    paid: u64,
    fresh_starts: u64,
}

impl Payer {
    /// The guest that `meter` meters, which is being polled.
    pub(crate) fn of(meter: &Arc<Meter>) -> Self {
        let paid = meter.paid.load(Relaxed);
        let used = meter.used_by_now() + paid;
        Self {
            meter: meter.clone(),
            left: meter.allowance.load(Relaxed).saturating_sub(used),
            paid,
            fresh_starts: meter.fresh_starts.load(Relaxed),
        }
    }

    /// What is left for the call now: less with each try, and with what other calls have cost.
    pub(crate) fn left(&self) -> Duration {
        let paid_since = self.meter.paid.load(Relaxed).saturating_sub(self.paid);
        Duration::from_nanos(self.left.saturating_sub(paid_since))
    }

    /// Whether it is this guest itself, several of whose tasks share a meter.
    pub(crate) fn is(&self, meter: &Arc<Meter>) -> bool {
        Arc::ptr_eq(&self.meter, meter)
    }
}

/// Charges the payer, in the end, with what a guest has computed for it.
#[derive(Debug)]
pub(crate) struct Bill {
    payer: Payer,
    meter: Arc<Meter>,
    before: u64,
}

impl Bill {
    /// For what the guest that `meter` meters computes from now on.
    pub(crate) fn begin(payer: Payer, meter: &Arc<Meter>) -> Self {
        Self {
            payer,
            before: meter.used_by_now(),
            meter: meter.clone(),
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let payer = &self.payer;
        // What the payer works on now may be something else.
        if payer.meter.fresh_starts.load(Relaxed) == payer.fresh_starts {
            let used = self.meter.used_by_now().saturating_sub(self.before);
            payer.meter.paid.fetch_add(used, Relaxed);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.total.fetch_add(nanos(self.used()), Relaxed);
    }
}

/// How a guest goes on at an epoch tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// It has only just been resumed.
    Continue,
    /// It may have computed for long, or its thread was kept from running.
    LookAgain,
    /// It lets others run first.
    Yield,
    /// Its CPU time is used up.
    Stop,
}

fn wall_nanos() -> u64 {
    static BASE: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    // 0 stands for no time at all.
    nanos(BASE.get_or_init(Instant::now).elapsed()).max(1)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn thread_cpu_nanos() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// A future whose CPU time is metered, and which moves to the busy lane when its meter says so.
pub(crate) struct Metered {
    meter: Arc<Meter>,
    busy_lane: Handle,
    place: Place,
    moves: Option<Box<dyn FnOnce() + Send>>,
    _ticking: Ticking,
}

enum Place {
    Here(Watched),
    BusyLane(AbortOnDropHandle<()>),
    Gone,
}

impl Metered {
    /// Meters `future` for as long as the clock ticks for it; `moves` is called when it moves to the busy lane.
    pub(crate) fn new(
        (busy_lane, ticking): (Handle, Ticking),
        meter: Arc<Meter>,
        future: Watched,
        moves: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self {
            meter,
            busy_lane,
            place: Place::Here(future),
            moves: Some(Box::new(moves)),
            _ticking: ticking,
        }
    }

    /// From now on says when the guest rests, until it moves. None if it has done so.
    pub(crate) fn tell(&mut self) -> Option<Arc<Lull>> {
        let Place::Here(future) = &mut self.place else {
            return None;
        };
        let lull = Lull::new();
        future.tell(lull.clone());
        Some(lull)
    }
}

impl Future for Metered {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Place::Here(future) = &mut this.place {
            if !this.meter.is_busy() {
                let poll = this.meter.charge(|| Pin::new(future).poll(cx));
                if poll.is_ready() || !this.meter.is_busy() {
                    return poll;
                }
            }
            if let Some(moves) = this.moves.take() {
                moves();
            }
            if let Place::Here(mut future) = std::mem::replace(&mut this.place, Place::Gone) {
                future.hush();
                let task = this.busy_lane.spawn(Busy {
                    meter: this.meter.clone(),
                    future,
                });
                this.place = Place::BusyLane(AbortOnDropHandle::new(task));
            }
        }
        match &mut this.place {
            // A panic in the busy lane ends the instance; whoever waits for its answer sees the channel close.
            Place::BusyLane(task) => Pin::new(task).poll(cx).map(|_| ()),
            Place::Here(_) | Place::Gone => Poll::Ready(()),
        }
    }
}

struct Busy {
    meter: Arc<Meter>,
    future: Watched,
}

impl Future for Busy {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.meter.charge(|| Pin::new(&mut this.future).poll(cx))
    }
}

#[cfg(test)]
pub(crate) mod tests;
