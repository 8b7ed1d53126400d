//! Guests that compute, and guests whose thread does not run.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::ThreadId;

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use super::*;

/// A meter whose guest starts on the busy lane if it is `busy`.
pub(crate) fn of_service(busy: bool) -> Arc<Meter> {
    let meter = Meter::billed_to(Arc::default(), busy);
    meter.grant(Duration::from_secs(60));
    Arc::new(meter)
}

/// Computes for longer than a guest may on a request's lane, if nobody asks.
pub(crate) fn compute(meter: &Meter) {
    let began = thread_cpu_nanos();
    meter.charge(|| while thread_cpu_nanos() - began < 2 * nanos(EPOCH_TICK) {});
}

/// Lets a guest be polled several times, in the first of which it `computes` or not: the threads that polled it, one
/// after the other without repeats, how often it moved, and the busy lane. Its own lane is this thread.
fn run(meter: &Arc<Meter>, computes: bool) -> (Vec<ThreadId>, u32, Runtime) {
    const POLLS: u32 = 10;
    let busy_lane = lane();
    let (threads, moved) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(AtomicU32::new(0)),
    );
    let (polled_by, moves, of_guest) = (threads.clone(), moved.clone(), meter.clone());
    let guest = async move {
        for poll in 0..POLLS {
            polled_by.lock().unwrap().push(std::thread::current().id());
            while computes && poll == 0 && of_guest.tick() != Tick::Yield {}
            yield_now().await;
        }
    };
    let places = (busy_lane.handle().clone(), Ticking::of_nobody());
    let metered = Metered::new(
        places,
        meter.clone(),
        Watched::new(Box::pin(guest)),
        move || {
            moves.fetch_add(1, Relaxed);
        },
    );
    Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(metered);
    let mut threads = std::mem::take(&mut *threads.lock().unwrap());
    assert_eq!(threads.len(), POLLS as usize, "it was polled to its end");
    threads.dedup();
    (threads, moved.load(Relaxed), busy_lane)
}

/// A lane with a thread of its own.
fn lane() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap()
}

fn thread_of(lane: &Runtime) -> ThreadId {
    let id = lane.spawn(async { std::thread::current().id() });
    lane.block_on(id).unwrap()
}

#[test]
fn a_short_guest_is_polled_on_its_lane_alone() {
    let (threads, moved, _lane) = run(&of_service(false), false);
    assert_eq!((threads, moved), (vec![std::thread::current().id()], 0));
}

#[test]
fn a_guest_that_computes_is_polled_on_its_lane_and_then_on_the_busy_one() {
    let (threads, moved, lane) = run(&of_service(false), true);
    let expected = vec![std::thread::current().id(), thread_of(&lane)];
    assert_eq!((threads, moved), (expected, 1));
}

#[test]
fn a_guest_that_is_busy_from_the_start_is_polled_on_the_busy_lane_alone() {
    let (threads, moved, lane) = run(&of_service(true), false);
    assert_eq!((threads, moved), (vec![thread_of(&lane)], 1));
}

#[test]
fn a_guest_on_the_busy_lane_ends_with_what_meters_it() {
    let lane = lane();
    let (held, gone) = channel::<()>();
    let guest = async move {
        let _held = held;
        std::future::pending::<()>().await;
    };
    let places = (lane.handle().clone(), Ticking::of_nobody());
    let mut metered = Metered::new(
        places,
        of_service(true),
        Watched::new(Box::pin(guest)),
        || {},
    );
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut metered).poll(&mut cx).is_pending());
    drop(metered);
    let gone = gone.recv_timeout(Duration::from_secs(60));
    assert_eq!(gone, Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_guest_that_was_only_just_resumed_stays_on_its_lane() {
    let meter = Meter::default();
    meter.grant(Duration::from_secs(1));
    meter.charge(|| assert_eq!(meter.tick(), Tick::Continue));
    assert!(!meter.is_busy());
}

#[test]
fn a_guest_that_computes_moves_and_is_stopped_at_its_allowance() {
    let meter = Meter::default();
    meter.grant(Duration::from_millis(20));
    let spin = |meter: &Meter| loop {
        let tick = meter.tick();
        if !matches!(tick, Tick::Continue | Tick::LookAgain) {
            return tick;
        }
    };
    assert_eq!(meter.charge(|| spin(&meter)), Tick::Yield);
    assert!(meter.is_busy() && !meter.exceeded());
    while meter.charge(|| meter.tick()) == Tick::Yield {}
    assert!(meter.exceeded());
    assert!(
        meter.used() >= Duration::from_millis(19),
        "{:?}",
        meter.used()
    );
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "stands for a thread that is kept from running"
)]
fn a_guest_whose_thread_does_not_run_stays_and_is_not_charged() {
    let meter = Meter::default();
    meter.grant(Duration::from_millis(20));
    let kept_from_running = || {
        for _ in 0..10 {
            std::thread::sleep(4 * EPOCH_TICK);
            assert_eq!(meter.tick(), Tick::LookAgain);
        }
    };
    meter.charge(kept_from_running);
    assert!(!meter.is_busy() && !meter.exceeded());
    assert!(
        meter.used() < Duration::from_millis(10),
        "{:?}",
        meter.used()
    );
}

#[test]
fn what_an_instance_used_is_billed_when_it_ends() {
    let total = Arc::new(AtomicU64::new(1));
    let meter = Meter::billed_to(total.clone(), false);
    meter.charge(|| {
        let started = Instant::now();
        while started.elapsed() < EPOCH_TICK {}
    });
    assert_eq!(total.load(Relaxed), 1);
    drop(meter);
    assert!(total.load(Relaxed) > nanos(EPOCH_TICK), "{total:?}");
}

#[test]
fn an_idle_instance_keeps_nothing_of_earlier_grants() {
    let meter = Meter::default();
    meter.grant(Duration::from_secs(1));
    meter.settle();
    let started = Instant::now();
    meter.charge(|| while started.elapsed() < EPOCH_TICK {});
    assert_eq!(meter.charge(|| meter.tick()), Tick::Stop);
}
