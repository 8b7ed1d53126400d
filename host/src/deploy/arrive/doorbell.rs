//! How the watcher's thread is woken: rung by file events, by a request to look again, or by the end.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Pace;
use super::stamp::Stamp;
use super::trail::Directories;

/// However many events come, a look is taken this long after the first.
const EVENTS_MAX: Duration = Duration::from_secs(1);

/// Of more files between two looks it is not remembered that they are complete: they are taken when they are at rest.
const COMPLETE_MAX: usize = 10_000;

/// What an event says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// It is being written, or it went and may come back: more is to be expected.
    Begun,
    /// Its writer has closed it, or it was moved here.
    Completed,
    /// Anything else.
    Other,
}

/// Shared by the watcher's thread, the events' thread and the host.
#[derive(Debug, Default)]
pub(super) struct Doorbell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// First and last event since the last look.
    events: Option<(Instant, Instant)>,
    /// Files of which more is to be expected.
    begun: HashSet<PathBuf>,
    /// What files were when their writers were done with them.
    complete: HashSet<Stamp>,
    /// Directories that were watched and went or moved.
    lost: Vec<PathBuf>,
    rescan: bool,
    stop: bool,
    directories: Directories,
}

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Look again.
    Look {
        /// These directories have to be watched anew.
        lost: Vec<PathBuf>,
        /// Files that are still like this are complete, however young they are.
        complete: HashSet<Stamp>,
        /// Everything is to be told again, whether it is news or not.
        all: bool,
    },
    /// End.
    Stop,
}

impl Doorbell {
    /// Something changed at `path`.
    pub(super) fn event(&self, path: &Path, touch: Touch, at: Instant) {
        if !self.lock().directories.concerns(path) {
            return;
        }
        // Without the lock: it may take its time.
        let stamp = fs::metadata(path).ok().map(|found| Stamp::of(&found));
        let mut state = self.lock();
        match touch {
            Touch::Begun => drop(state.begun.insert(path.to_owned())),
            Touch::Completed => drop(state.begun.remove(path)),
            Touch::Other => {}
        }
        let is_complete = !state.begun.contains(path) && state.complete.len() < COMPLETE_MAX;
        state.complete.extend(stamp.filter(|_| is_complete));
        if state.directories.contains(path) {
            state.lost.push(path.to_owned());
        }
        self.note(state, at);
    }

    /// Something changed, it is not known what.
    pub(super) fn anything(&self, at: Instant) {
        self.note(self.lock(), at);
    }

    pub(super) fn rescan(&self) {
        self.lock().rescan = true;
        self.rung.notify_all();
    }

    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.rung.notify_all();
    }

    /// Sets which events matter.
    pub(super) fn listen_for(&self, directories: Directories) {
        self.lock().directories = directories;
    }

    /// Waits until `until`, or until nothing has happened for a while, which is short if no more is to be expected; not
    /// for events before `rested`.
    pub(super) fn wait(&self, until: Instant, rested: Instant, pace: &Pace) -> Woken {
        let mut state = self.lock();
        loop {
            if state.stop {
                return Woken::Stop;
            }
            let quiet = match state.begun.is_empty() {
                true => pace.complete,
                false => pace.quiet,
            };
            let due = state.events.map_or(until, |(first, last)| {
                let due = (last + quiet).min(first + EVENTS_MAX);
                due.max(rested).min(until)
            });
            let left = due.saturating_duration_since(Instant::now());
            if state.rescan || left.is_zero() {
                state.events = None;
                state.begun.clear();
                return Woken::Look {
                    lost: std::mem::take(&mut state.lost),
                    complete: std::mem::take(&mut state.complete),
                    all: std::mem::take(&mut state.rescan),
                };
            }
            (state, _) = self
                .rung
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn note(&self, mut state: MutexGuard<'_, State>, at: Instant) {
        let first = state.events.map_or(at, |(first, _)| first);
        state.events = Some((first, at));
        drop(state);
        self.rung.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
