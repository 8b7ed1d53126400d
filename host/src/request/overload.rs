//! What a lane does when more comes in than it can do: it refuses requests of low priority, so that the others are answered
//! in time. Calls between services are not refused: what they are a part of has been let in.
//!
//! A lane finds out by how late its own timer is, as long as requests come in.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use skep_policy::shed::{DELAY_TARGET, Pressure};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::random;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::Service;

/// How often the timer is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The least delay of so many looks counts: one long poll is no overload.
const LOOKS: u32 = 5;
/// Times without a request after which nobody looks.
const IDLE: u32 = 10;

thread_local! {
    static LANE: Lane = Lane::default();
}

/// One lane's state, on its own thread.
#[derive(Default)]
struct Lane {
    pressure: Cell<Pressure>,
    /// Whether a request has come in since that was last looked at.
    is_used: Cell<bool>,
    /// Wakes the lane's watch, which sleeps while nothing comes in.
    sleeper: Cell<Option<Arc<Notify>>>,
}

/// Whether a request to the service is let in.
///
/// # Errors
/// [`Cause::Overloaded`] when it is not.
pub(super) fn check(service: &Service) -> Result<(), Fault> {
    LANE.with(|lane| {
        lane.is_used.set(true);
        if let Some(sleeper) = lane.sleeper.take() {
            sleeper.notify_one();
        }
        let pressure = lane.pressure.get();
        if pressure.is_any() && pressure.sheds(service.config.limits.priority, random()) {
            let detail = "the host has more to do than it can, and requests of a higher [limits] priority go first";
            return Err(Fault::new(Cause::Overloaded, detail));
        }
        Ok(())
    })
}

/// Watches the lane that it runs on, until the process ends.
pub(crate) async fn watch(core: Arc<Core>) {
    let wake = Arc::new(Notify::new());
    let mut unused = 0;
    loop {
        if unused == IDLE {
            LANE.with(|lane| lane.sleeper.set(Some(wake.clone())));
            wake.notified().await;
        }
        let mut least = Duration::MAX;
        for _ in 0..LOOKS {
            let due = Instant::now() + LOOK;
            sleep_until(due).await;
            least = least.min(due.elapsed());
        }
        let is_used = LANE.with(|lane| lane.is_used.replace(false));
        unused = if is_used { 0 } else { unused + 1 };
        let before = LANE.with(|lane| lane.pressure.get());
        if least <= DELAY_TARGET && !before.is_any() {
            continue;
        }
        // Nothing comes in any more, so nothing has to be kept out.
        let mut pressure = if is_used { before } else { Pressure::default() };
        if is_used {
            let (lowest, highest) = priorities(&core);
            pressure.note(least, lowest, highest);
        }
        LANE.with(|lane| lane.pressure.set(pressure));
        match (before.is_any(), pressure.is_any()) {
            (false, true) => {
                let delay_ms = least.as_millis();
                tracing::warn!(
                    delay_ms,
                    "a lane has more to do than it can: requests of the lowest priority are refused"
                );
            }
            (true, false) => tracing::info!("the lane takes all requests again"),
            _ => {}
        }
    }
}

/// The lowest and the highest of all services that there are.
fn priorities(core: &Core) -> (u8, u8) {
    let snapshot = core.registry.snapshot();
    let services = snapshot.services.values();
    let all = services.map(|service| service.config.limits.priority);
    let (lowest, highest) = (all.clone().min(), all.max());
    (lowest.unwrap_or(0), highest.unwrap_or(0))
}
