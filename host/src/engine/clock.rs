//! The epoch clock: ticks while guests are alive, rests otherwise.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};

use wasmtime::Engine;

use super::EPOCH_TICK;

/// Ticks without a guest after which the clock rests.
const TICKS_BEFORE_REST: u32 = 100;

/// A thread that advances the engines' epoch.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct State {
    guests: AtomicUsize,
    rests: AtomicBool,
}

/// Keeps the clock ticking.
#[derive(Debug)]
pub(crate) struct Ticking(Arc<State>);

impl Clock {
    pub(super) fn start(engines: Vec<Engine>) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let of_thread = state.clone();
        let thread = thread::Builder::new()
            .name("epoch".into())
            .spawn(move || run(&engines, &of_thread))?;
        Ok(Self {
            state,
            thread: thread.thread().clone(),
        })
    }

    /// To be held as long as a guest may run.
    pub(crate) fn tick(&self) -> Ticking {
        // Sequentially consistent with `run`: either it sees the guest before it rests, or this sees that it rests.
        self.state.guests.fetch_add(1, SeqCst);
        if self.state.rests.load(SeqCst) {
            self.thread.unpark();
        }
        Ticking(self.state.clone())
    }
}

#[cfg(test)]
impl Ticking {
    /// Of a clock that no engine has.
    pub(crate) fn of_nobody() -> Self {
        let state = State::default();
        state.guests.fetch_add(1, SeqCst);
        Self(Arc::new(state))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, SeqCst);
    }
}

fn run(engines: &[Engine], state: &State) {
    let mut idle = 0;
    loop {
        #[allow(
            clippy::disallowed_methods,
            reason = "this thread is the clock: it does nothing but sleep and tick"
        )]
        thread::sleep(EPOCH_TICK);
        for engine in engines {
            engine.increment_epoch();
        }
        idle = if state.guests.load(SeqCst) == 0 {
            idle + 1
        } else {
            0
        };
        if idle >= TICKS_BEFORE_REST {
            state.rests.store(true, SeqCst);
            while state.guests.load(SeqCst) == 0 {
                thread::park();
            }
            state.rests.store(false, SeqCst);
            idle = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};
    use wasmtime::{Config, Module, Store, Trap};

    #[test]
    fn a_guest_is_interrupted_also_when_the_clock_had_come_to_rest() {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        let clock = Clock::start(vec![engine.clone()]).unwrap();
        let waited = Instant::now();
        while !clock.state.rests.load(SeqCst) {
            assert!(
                waited.elapsed() < Duration::from_secs(30),
                "the clock does not rest"
            );
            thread::yield_now();
        }
        let module = Module::new(&engine, LOOP).unwrap();
        let _ticking = clock.tick();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(2);
        let error = wasmtime::Instance::new(&mut store, &module, &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    }

    /// `(module (func loop br 0 end) (start 0))`
    const LOOP: &[u8] = &[
        0, b'a', b's', b'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 8, 1, 0, 10, 9, 1, 7, 0,
        3, 0x40, 0x0c, 0, 0x0b, 0x0b,
    ];
}
