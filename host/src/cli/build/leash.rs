//! What ends a build, all of its processes, when the host ends.

use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// Holds at most one build. A child on it leads a process group of its own, so that what it starts ends with it; the
/// terminal's signals don't reach it.
#[derive(Debug, Default)]
pub(in crate::cli) struct Leash(Mutex<Held>);

#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    Group(Pid),
    /// Whatever is put on it is ended at once.
    Cut,
}

impl Leash {
    /// Takes a child that has just been started.
    pub(super) fn hold(&self, child: &Child) {
        let mut held = self.lock();
        let group = child.id().try_into().ok().and_then(Pid::from_raw);
        match (&*held, group) {
            (Held::Cut, Some(group)) => end(group),
            (_, Some(group)) => *held = Held::Group(group),
            (_, None) => {}
        }
    }

    /// Lets go of the child. It must not have been waited for: its id could be another's.
    pub(super) fn release(&self) {
        let mut held = self.lock();
        if let Held::Group(_) = *held {
            *held = Held::Nothing;
        }
    }

    /// Ends the build that is under way, and all that follow.
    pub(in crate::cli) fn cut(&self) {
        if let Held::Group(group) = std::mem::replace(&mut *self.lock(), Held::Cut) {
            end(group);
        }
    }

    /// Whether it has been cut.
    pub(in crate::cli) fn is_cut(&self) -> bool {
        matches!(*self.lock(), Held::Cut)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that are gone already need no end.
fn end(group: Pid) {
    kill_process_group(group, Signal::KILL).ok();
}
