//! How many hosts run at once: a few, or one alone where its speed is measured.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each host reserves address space for its pools, and the machine may have two cores.
const HOSTS_AT_ONCE: u32 = 4;

static TURNS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(HOSTS_AT_ONCE as usize)));

/// The right to run a host.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits for a turn. A test that has one must not wait for another.
    pub(crate) async fn take(alone: bool) -> Self {
        let places = if alone { HOSTS_AT_ONCE } else { 1 };
        let permit = TURNS.clone().acquire_many_owned(places).await.unwrap();
        Self { _permit: permit }
    }
}
