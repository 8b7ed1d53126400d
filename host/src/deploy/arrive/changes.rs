//! The watcher's ear for whoever else looks at folders: tells when to look, never what is there.

use std::sync::Arc;
use std::time::Instant;

use super::Pace;
use super::doorbell::{Doorbell, Woken};
use super::trail::Directories;
use super::watch::{Events, LOOK_SHARE, POLL};

/// Changes in directories.
pub struct Changes {
    doorbell: Arc<Doorbell>,
    events: Events,
    pace: Pace,
}

/// Ends all waiting for changes.
#[derive(Debug)]
pub struct Hush(Arc<Doorbell>);

impl Changes {
    /// Of no directory yet.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let doorbell = Arc::<Doorbell>::default();
        Self {
            events: Events::new(Arc::clone(&doorbell)),
            doorbell,
            pace,
        }
    }

    /// What ends the waiting, from another thread.
    #[must_use]
    pub fn hush(&self) -> Hush {
        Hush(Arc::clone(&self.doorbell))
    }

    /// From now on changes in these directories matter and no others; true if one of them is new: what changed in it
    /// between a look and now is only seen by looking again.
    pub fn listen(&mut self, directories: &Directories) -> bool {
        self.events.watch(directories)
    }

    /// Waits until something changed and its writer is done with it, or for as long as the system may have missed to
    /// tell of it; false once nobody is to look any more. `began` is when the last look did.
    pub fn wait(&mut self, began: Instant) -> bool {
        let now = Instant::now();
        let wait = match self.events.is_polling {
            true => self.pace.rescan.min(POLL),
            false => self.pace.rescan,
        };
        let rested = now + (now - began) * LOOK_SHARE;
        match self.doorbell.wait(now + wait, rested, &self.pace) {
            Woken::Stop => false,
            Woken::Look { lost, .. } => {
                self.events.lose(lost);
                true
            }
        }
    }
}

impl Hush {
    /// Nobody is to look any more.
    pub fn now(&self) {
        self.0.stop();
    }
}
