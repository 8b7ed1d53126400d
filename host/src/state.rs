//! What must survive the process: artifacts by digest, and a database of services, their revisions and what happened to
//! them.
//!
//! One host at a time has a state folder. What is committed is on disk when the commit returns. Nothing here decides
//! anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::deploy::compile::Digest;
use crate::directory;
use crate::worker::Worker;

mod artifacts;
mod database;
mod error;
pub(crate) mod keys;
mod lock;
mod record;
#[cfg(test)]
mod tests;

pub use self::artifacts::{ArtifactError, Artifacts, Held, Incoming};
pub use self::error::StateError;
pub(crate) use self::record::now_unix_ms;
pub use self::record::{
    Audit, Commit, Event, Happening, Kind, Origin, StoredRevision, StoredRollout, StoredService,
};

use self::database::Database;
use self::keys::Keys;
use self::lock::Lock;

/// Events that a reader may be behind before it misses some.
const EVENTS_BEHIND_MAX: usize = 1024;

/// A host's state folder.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    /// The components.
    pub artifacts: Artifacts,
    database: Arc<Mutex<Database>>,
    worker: Worker,
    events: broadcast::Sender<Arc<Event>>,
    collected: broadcast::Sender<Digest>,
    /// Of the services that are there.
    generations: Mutex<BTreeMap<String, u64>>,
    /// Requests that are carried out once.
    pub(crate) keys: Keys,
    // Released last.
    _lock: Lock,
}

impl State {
    /// Opens the folder, which is made if need be, and takes it for this process alone.
    ///
    /// # Errors
    /// [`StateError`] says what is wrong with it and what to do.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let path = directory::open_own(path, "the host's state", "--state")?;
        let lock = Lock::take(&path)?;
        let artifacts = Artifacts::open(&path)?;
        let database = Database::open(&path)?;
        let rows = database.services()?.into_iter();
        let rows = rows.filter(|row| row.current.is_some());
        let generations = rows.map(|row| (row.name.to_string(), row.generation));
        let generations = Mutex::new(generations.collect());
        let worker = Worker::start("skep-state").map_err(StateError::Thread)?;
        Ok(Self {
            keys: Keys::new(&path),
            folder: path,
            artifacts,
            database: Arc::new(Mutex::new(database)),
            worker,
            generations,
            events: broadcast::Sender::new(EVENTS_BEHIND_MAX),
            collected: broadcast::Sender::new(EVENTS_BEHIND_MAX),
            _lock: lock,
        })
    }

    /// The folder, symlinks resolved.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The artifacts that are deleted from now on. Who is too far behind misses some.
    #[must_use]
    pub fn collected(&self) -> broadcast::Receiver<Digest> {
        self.collected.subscribe()
    }

    /// Every service that was ever deployed and is not forgotten, with the revisions that are to go on.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn services(&self) -> Result<Vec<StoredService>, StateError> {
        self.with(|database| database.services()).await
    }

    /// One revision; None if it isn't kept.
    ///
    /// # Errors
    /// When the database can't be read, or its record.
    pub async fn revision(
        &self,
        service: &str,
        number: u64,
    ) -> Result<Option<StoredRevision>, StateError> {
        let service = service.to_owned();
        self.with(move |database| database.revision(&service, number))
            .await
    }

    /// The numbers of the kept revisions of a service, newest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn kept(&self, service: &str) -> Result<Vec<u64>, StateError> {
        let service = service.to_owned();
        self.with(move |database| database.kept(&service)).await
    }

    /// Those of them that have been the running one.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn ran(&self, service: &str) -> Result<Vec<u64>, StateError> {
        let service = service.to_owned();
        self.with(move |database| database.ran(&service)).await
    }

    /// All that are kept, with their artifacts.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn revisions(&self, service: &str) -> Result<Vec<(u64, Digest)>, StateError> {
        let service = service.to_owned();
        self.with(move |database| database.revisions(&service))
            .await
    }

    /// A number that changes with every change of a service; None if there is none.
    pub fn generation(&self, service: &str) -> Option<u64> {
        self.generations().get(service).copied()
    }

    fn generations(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all of it or nothing; then tells whoever follows the events.
    ///
    /// # Errors
    /// When it could not be written: nothing has changed then.
    pub async fn commit(&self, commit: Commit) -> Result<(), StateError> {
        let services = commit.services.iter();
        let generations = services.map(|(service, _)| {
            let generation = service.current.map(|_| service.generation);
            (service.name.to_string(), generation)
        });
        let generations: Vec<_> = generations.collect();
        let written = self.with(move |database| database.commit(commit)).await?;
        let mut known = self.generations();
        for (name, generation) in generations {
            match generation {
                Some(generation) => known.insert(name, generation),
                None => known.remove(&name),
            };
        }
        drop(known);
        for event in written {
            // Nobody may be following.
            self.events.send(Arc::new(event)).ok();
        }
        Ok(())
    }

    /// Tells those who follow of something that is not worth keeping.
    pub fn tell(&self, happening: Happening) {
        self.events.send(Arc::new(Event::passing(happening))).ok();
    }

    /// What happens from now on.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// At most `limit` events, newest first: of one service or of all, before or after an id.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn events(
        &self,
        service: Option<String>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Event>, StateError> {
        self.with(move |database| database.events(service.as_deref(), after, limit))
            .await
    }

    /// Keeps what was asked of the admin API by whom.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn audit(&self, entry: Audit) -> Result<(), StateError> {
        self.with(move |database| database.audit(&entry)).await
    }

    /// The newest entries of the audit log, newest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn audited(&self, limit: u32) -> Result<Vec<Audit>, StateError> {
        self.with(move |database| database.audited(limit)).await
    }

    /// Puts all that was committed into the database's own file, before the host ends.
    ///
    /// # Errors
    /// When it could not be written; nothing is lost then.
    pub async fn settle(&self) -> Result<(), StateError> {
        self.with(|database| database.settle()).await
    }

    /// Deletes the artifacts that no kept revision has and that are not held by anybody.
    ///
    /// # Errors
    /// When the database can't be read; files that can't be deleted are left for the next time.
    pub async fn collect(&self) -> Result<Vec<Digest>, StateError> {
        let artifacts = self.artifacts.clone();
        let gone = self
            .with(move |database| Ok(artifacts.collect(&database.digests()?)))
            .await?;
        for digest in &gone {
            // Perhaps nobody wants to know.
            self.collected.send(*digest).ok();
        }
        Ok(gone)
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let database = self.database.clone();
        let work = move || work(&mut hold(&database));
        self.worker
            .run(work)
            .await
            .map_err(|_| StateError::Panicked)?
    }

    /// Runs what blocks on the folder's files on the folder's thread.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StateError> {
        self.worker
            .run(work)
            .await
            .map_err(|_| StateError::Panicked)
    }
}

fn hold(database: &Mutex<Database>) -> MutexGuard<'_, Database> {
    database.lock().unwrap_or_else(PoisonError::into_inner)
}
