//! The watcher's thread: looks when something changed, and every few seconds in any case.
//!
//! Events only say when to look, never what is there; losing them costs time and nothing else.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use notify::event::{AccessKind, AccessMode, EventKind, MetadataKind, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::diff::Memory;
use super::doorbell::{Doorbell, Touch, Woken};
use super::dropin;
use super::scan::Scanner;
use super::stamp::Now;
use super::trail::Directories;
use super::{Batch, Intake, Pace};

/// Batches that wait for the deployer; past that the watcher waits, and changes add up to one batch.
const BATCHES_MAX: usize = 4;

/// How often to look when the system can't tell of changes.
pub(super) const POLL: Duration = Duration::from_secs(1);

/// A look may take up to one part in this many of the time.
pub(super) const LOOK_SHARE: u32 = 5;

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    doorbell: Arc<Doorbell>,
}

impl Watch {
    /// Starts to watch; services that are `known` and not found are told to be gone. The thread ends when either half is dropped.
    ///
    /// # Errors
    /// When its thread can't be started.
    pub fn start(
        intake: Intake,
        pace: Pace,
        known: Vec<String>,
    ) -> io::Result<(Self, mpsc::Receiver<Batch>)> {
        let (batches, receiver) = mpsc::channel(BATCHES_MAX);
        let doorbell = Arc::new(Doorbell::default());
        let events = Events::new(Arc::clone(&doorbell));
        let thread = Thread {
            known,
            intake,
            pace,
            doorbell: Arc::clone(&doorbell),
            events,
            batches,
        };
        thread::Builder::new()
            .name("skep-watch".to_owned())
            .spawn(move || thread.run())?;
        Ok((Self { doorbell }, receiver))
    }

    /// Looks now, whatever the system tells of changes, and tells of everything again: what could not be deployed for
    /// a reason that has passed has another try.
    pub fn rescan(&self) {
        self.doorbell.rescan();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.doorbell.stop();
    }
}

struct Thread {
    /// Services whose files were there when a host last looked: they may be gone.
    known: Vec<String>,
    intake: Intake,
    pace: Pace,
    doorbell: Arc<Doorbell>,
    events: Events,
    batches: mpsc::Sender<Batch>,
}

impl Thread {
    fn run(mut self) {
        let mut memory = Memory::of(std::mem::take(&mut self.known));
        let mut scanner = Scanner::new(self.intake.clone(), self.pace);
        loop {
            let began = Instant::now();
            let look = catch_unwind(AssertUnwindSafe(|| self.look(&mut scanner, &mut memory)));
            let wait = match look {
                Ok(None) => return,
                Ok(Some(wait)) => wait,
                Err(_) => {
                    tracing::error!("looking for services panicked; trying again");
                    scanner = Scanner::new(self.intake.clone(), self.pace);
                    self.pace.rescan
                }
            };
            let now = Instant::now();
            let rested = now + (now - began) * LOOK_SHARE;
            match self.doorbell.wait(now + wait, rested, &self.pace) {
                Woken::Stop => return,
                Woken::Look {
                    lost,
                    complete,
                    all,
                } => {
                    self.events.lose(lost);
                    scanner.complete(complete);
                    if all {
                        memory.forget();
                    }
                }
            }
        }
    }

    /// Looks and tells what is new; says how long to wait for the next look, `None` if nobody listens.
    fn look(&mut self, scanner: &mut Scanner, memory: &mut Memory) -> Option<Duration> {
        let began = Instant::now();
        let mut scan = scanner.scan(Now::get());
        // What changes between a look and the first event is only seen by looking again.
        while self.events.watch(&scan.directories) {
            scan = scanner.scan(Now::get());
        }
        let wait = match (scan.is_waiting(), self.events.is_polling) {
            (true, _) => self.pace.quiet,
            (false, true) => self.pace.rescan.min(POLL),
            (false, false) => self.pace.rescan,
        }
        .max(began.elapsed() * LOOK_SHARE);
        match memory.news(scan) {
            Some(batch) => self.batches.blocking_send(batch).ok().map(|()| wait),
            None if self.batches.is_closed() => None,
            None => Some(wait),
        }
    }
}

/// The system's events about the directories that matter.
pub(super) struct Events {
    doorbell: Arc<Doorbell>,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode: a directory that was replaced has to be watched anew.
    watched: HashMap<PathBuf, (u64, u64)>,
    pub(super) is_polling: bool,
}

impl Events {
    pub(super) fn new(doorbell: Arc<Doorbell>) -> Self {
        let ear = Arc::clone(&doorbell);
        let watcher = notify::recommended_watcher(move |event| hear(&ear, event));
        let mut events = Self {
            doorbell,
            watcher: None,
            watched: HashMap::new(),
            is_polling: false,
        };
        match watcher {
            Ok(watcher) => events.watcher = Some(watcher),
            Err(error) => events.poll(&error),
        }
        events
    }

    /// Watches these directories and no others; true if there was one that had not been watched.
    pub(super) fn watch(&mut self, directories: &Directories) -> bool {
        self.doorbell.listen_for(directories.clone());
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        self.watched.retain(|path, _| {
            let is_kept = directories.contains(path);
            if !is_kept {
                // It may be gone, and then it is not watched any more.
                watcher.unwatch(path).ok();
            }
            is_kept
        });
        let mut is_new = false;
        let mut failure = None;
        for path in directories.paths() {
            let Ok(metadata) = fs::metadata(path) else {
                continue;
            };
            let identity = (metadata.dev(), metadata.ino());
            if self.watched.get(path) == Some(&identity) {
                continue;
            }
            watcher.unwatch(path).ok();
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path.clone(), identity);
                    is_new = true;
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.poll(&error);
        }
        is_new
    }

    /// Forgets directories that went or moved, so that they are watched when they are back.
    pub(super) fn lose(&mut self, lost: Vec<PathBuf>) {
        for path in lost {
            self.watched.remove(&path);
        }
    }

    fn poll(&mut self, error: &notify::Error) {
        if !self.is_polling && !matches!(error.kind, ErrorKind::PathNotFound) {
            self.is_polling = true;
            tracing::warn!(%error, "not all changes of files can be watched for (raise fs.inotify.max_user_watches?): looking every second");
        }
    }
}

fn hear(doorbell: &Doorbell, event: notify::Result<notify::Event>) {
    let now = Instant::now();
    match event {
        Ok(event) if event.need_rescan() || event.paths.is_empty() => doorbell.anything(now),
        Ok(event) if is_change(event.kind) => {
            for path in &event.paths {
                doorbell.event(path, touch(event.kind, path), now);
            }
        }
        Ok(_) => {}
        Err(_) => doorbell.anything(now),
    }
}

/// Opening and reading change nothing; the watcher's own looks would wake it for ever.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)) => false,
        _ => true,
    }
}

fn touch(kind: EventKind, path: &Path) -> Touch {
    match kind {
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
            Touch::Completed
        }
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Touch::Begun,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            // What is put together beside its place and then moved there does not come back.
            match path.file_name().is_some_and(dropin::is_temporary) {
                true => Touch::Completed,
                false => Touch::Begun,
            }
        }
        _ => Touch::Other,
    }
}

#[cfg(test)]
mod tests;
