//! What a guest is told beside its request: noted as it is, or told again.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wasmtime_wasi::clocks::{MonotonicClock, WallClock};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

use super::notebook::Notebook;
use super::script::Script;

/// For one instance that serves one request.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// The truth, of which notes are taken.
    Noted(Arc<Notebook>),
    /// What a recorded request's guest was told.
    Again(Arc<Script>),
}

impl Told {
    /// Whether nothing that the guest does may reach anybody.
    pub(crate) fn is_again(&self) -> bool {
        matches!(self, Self::Again(_))
    }

    /// Has the guest's clocks and random numbers come from here.
    pub(crate) fn tell(&self, wasi: &mut WasiCtxBuilder) {
        let seed = match self {
            Self::Noted(notebook) => notebook.seed,
            Self::Again(script) => script.recording.seed,
        };
        let mut root = StdRng::from_seed(seed);
        wasi.secure_random(StdRng::from_rng(&mut root));
        wasi.insecure_random(StdRng::from_rng(&mut root));
        wasi.insecure_random_seed(root.random());
        wasi.wall_clock(Wall {
            told: self.clone(),
            clock: WallClock::new(),
        });
        wasi.monotonic_clock(Monotonic {
            told: self.clone(),
            clock: MonotonicClock::new(),
        });
    }
}

struct Wall {
    told: Told,
    clock: WallClock,
}

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        self.clock.resolution()
    }

    fn now(&self) -> Duration {
        match &self.told {
            Told::Noted(notebook) => {
                let now = self.clock.now();
                notebook.wall(now);
                now
            }
            Told::Again(script) => script.wall.next(&script.recording.wall),
        }
    }
}

struct Monotonic {
    told: Told,
    clock: MonotonicClock,
}

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        self.clock.resolution()
    }

    fn now(&self) -> u64 {
        match &self.told {
            Told::Noted(notebook) => {
                let now = self.clock.now();
                notebook.monotonic(Duration::from_nanos(now));
                now
            }
            Told::Again(script) => {
                let now = script.monotonic.next(&script.recording.monotonic);
                u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
            }
        }
    }
}
