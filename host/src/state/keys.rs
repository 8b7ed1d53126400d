//! Requests that are carried out once: their keys and what they were answered, in a database of their own.
//!
//! That a request is begun is on disk before its service is asked. What arrives while the disk is at work is written
//! together. The thread and the file are there when the first key is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use skep_policy::idempotency::Verdict;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::table::Table;
use super::now_unix_ms;

mod table;
#[cfg(test)]
mod tests;

/// Requests whose keys are looked up and written at once.
const BATCH_MAX: usize = 64;
/// Bytes that are held in memory at once: of requests until they are answered, of answers while they are taken in, written
/// down, read and sent.
const HELD_BYTES_MAX: usize = 64 << 20;

/// A request, as its key's row in the database.
pub(crate) type Id = [u8; 32];

/// A request with a key.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Of the key among those of its route and client.
    pub(crate) id: Id,
    /// Whom it is for.
    pub(crate) service: Arc<str>,
    /// What it asks for.
    pub(crate) fingerprint: [u8; 32],
    /// For how long the key is known.
    pub(crate) expiry: Duration,
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) status: u16,
    /// As HTTP/1.1 has them.
    pub(crate) headers: Bytes,
    pub(crate) body: Bytes,
}

/// An answer that is kept, as it was found: the next look may find another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    id: Id,
    fingerprint: [u8; 32],
    /// What it takes in memory, and a little more.
    pub(crate) bytes: u64,
}

impl Kept {
    /// The same with the right to hold it in memory.
    fn with(self, held: OwnedSemaphorePermit) -> Self {
        let body = holding(self.body, held);
        Self { body, ..self }
    }
}

/// Bytes, and the right to hold them in memory, which is given back with the last of them.
pub(crate) fn holding(bytes: Bytes, held: OwnedSemaphorePermit) -> Bytes {
    Bytes::from_owner(Held { bytes, _held: held })
}

struct Held {
    bytes: Bytes,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What became of a request that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It was answered.
    Answered(Kept),
    /// It may have been carried out; what it was answered is not kept.
    Lost,
    /// It may be sent again.
    Free,
}

/// What is known of a request's key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It is as good as new, and taken.
    Begun,
    /// It was answered, and this is where to fetch that.
    Answered(Found),
    /// It is refused.
    Refused(Verdict),
    /// It is refused as well: there is no room for another key of the service.
    Full,
}

/// The keys can't be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {detail}", path.display())]
pub(crate) struct KeysError {
    path: PathBuf,
    detail: String,
}

/// What came of a job.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    Looked(Looked),
    Fetched(Option<Kept>),
    Ended,
}

/// The keys.
#[derive(Debug)]
pub(crate) struct Keys {
    path: PathBuf,
    jobs: OnceLock<mpsc::Sender<Job>>,
    /// What may be held in memory, in bytes.
    pub(crate) held: Arc<Semaphore>,
}

enum Job {
    Begin(Request, oneshot::Sender<Result<Looked, KeysError>>),
    Fetch(
        Found,
        OwnedSemaphorePermit,
        oneshot::Sender<Result<Option<Kept>, KeysError>>,
    ),
    End(Id, End, Option<oneshot::Sender<Result<(), KeysError>>>),
}

impl Keys {
    /// Those of the host with this state folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("idempotency.db"),
            jobs: OnceLock::new(),
            held: Arc::new(Semaphore::new(HELD_BYTES_MAX)),
        }
    }

    /// Looks the key up and takes it if it is free.
    ///
    /// # Errors
    /// When the database can't be used; the request must not be carried out then.
    pub(crate) async fn begin(&self, request: Request) -> Result<Looked, KeysError> {
        let (reply, looked) = oneshot::channel();
        let id = request.id;
        self.send(Job::Begin(request, reply))?;
        let mut waiting = Waiting {
            keys: self,
            id,
            looked,
        };
        (&mut waiting.looked).await.map_err(|_| self.gone())?
    }

    /// Fetches an answer that was found, with the right to hold that much in memory; None if it is not there any more.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) async fn fetch(
        &self,
        found: Found,
        held: OwnedSemaphorePermit,
    ) -> Result<Option<Kept>, KeysError> {
        let (reply, kept) = oneshot::channel();
        self.send(Job::Fetch(found, held, reply))?;
        kept.await.map_err(|_| self.gone())?
    }

    /// Writes down what became of a request that was begun.
    ///
    /// # Errors
    /// When it could not be written: the key stays taken.
    pub(crate) async fn end(&self, id: Id, end: End) -> Result<(), KeysError> {
        let (reply, written) = oneshot::channel();
        self.send(Job::End(id, end, Some(reply)))?;
        written.await.map_err(|_| self.gone())?
    }

    /// The same without waiting for it.
    pub(crate) fn end_soon(&self, id: Id, end: End) {
        if let Err(error) = self.send(Job::End(id, end, None)) {
            tracing::error!(%error, "a key's end could not be written");
        }
    }

    fn send(&self, job: Job) -> Result<(), KeysError> {
        let jobs = self.jobs.get_or_init(|| {
            let (jobs, queue) = mpsc::channel();
            let path = self.path.clone();
            let thread = thread::Builder::new().name("skep-keys".to_owned());
            // Without the thread the queue is gone, and whoever sends to it is told.
            drop(thread.spawn(move || work(&path, &queue)));
            jobs
        });
        jobs.send(job).map_err(|_| self.gone())
    }

    fn gone(&self) -> KeysError {
        KeysError::new(&self.path, "nothing works on it any more")
    }
}

/// Somebody who waits for what is found, and may go at any time: what is taken for them then is freed.
struct Waiting<'a> {
    keys: &'a Keys,
    id: Id,
    looked: oneshot::Receiver<Result<Looked, KeysError>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // What is told from here on is told to nobody, and freed by who tells it.
        self.looked.close();
        if let Ok(Ok(Looked::Begun)) = self.looked.try_recv() {
            self.keys.end_soon(self.id, End::Free);
        }
    }
}

impl KeysError {
    fn new(path: &Path, detail: impl std::fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            detail: detail.to_string(),
        }
    }
}

/// Does what is asked for, until nobody can ask any more.
fn work(path: &Path, queue: &mpsc::Receiver<Job>) {
    let mut desk = Desk {
        path,
        table: None,
        life: None,
        late: Vec::new(),
    };
    while let Ok(first) = queue.recv() {
        let rest = queue.try_iter().take(BATCH_MAX - 1);
        let late = std::mem::take(&mut desk.late);
        let batch = late.into_iter().chain([first]).chain(rest).collect();
        desk.do_all(batch);
    }
}

/// What the thread works with.
struct Desk<'a> {
    path: &'a Path,
    /// None until it is needed, and after an error: what it counts may not be what is there then.
    table: Option<Table>,
    /// This host's, once it is known.
    life: Option<u64>,
    /// Ends that could not be written. Without them their keys would be taken for as long as the host lives.
    late: Vec<Job>,
}

impl Desk<'_> {
    fn at_once(&mut self, batch: &[Job]) -> rusqlite::Result<Vec<Done>> {
        let table = match &mut self.table {
            Some(table) => table,
            none => none.insert(Table::open(self.path, self.life)?),
        };
        self.life = Some(table.life);
        table.at_once(batch)
    }

    /// All or nothing of it is written, and then told.
    fn do_all(&mut self, batch: Vec<Job>) {
        let done = self.at_once(&batch).map_err(|error| {
            tracing::error!(path = %self.path.display(), %error, "keys can't be read or written");
            self.table = None;
            KeysError::new(self.path, error)
        });
        if done.is_err() {
            let ends = batch.iter().filter_map(Job::end_without_answer);
            self.late = ends.collect();
        }
        let abandoned = tell(self.path, batch, done);
        if !abandoned.is_empty() {
            // They are ends, of which none is abandoned.
            self.do_all(abandoned);
        }
    }
}

impl Job {
    /// The end of a request, to be written later; its answer is not held until then.
    fn end_without_answer(&self) -> Option<Self> {
        match self {
            Self::Begin(..) | Self::Fetch(..) => None,
            Self::End(id, End::Free, _) => Some(Self::End(*id, End::Free, None)),
            Self::End(id, _, _) => Some(Self::End(*id, End::Lost, None)),
        }
    }
}

/// Tells those who asked. What was begun for somebody who is gone is to be freed.
fn tell(path: &Path, batch: Vec<Job>, done: Result<Vec<Done>, KeysError>) -> Vec<Job> {
    let (done, failed) = match done {
        Ok(done) => (done, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let (mut done, mut abandoned) = (done.into_iter(), Vec::new());
    for job in batch {
        let done = done.next();
        // Whoever asked may be gone.
        match (job, &failed) {
            (Job::Begin(_, reply), Some(error)) => drop(reply.send(Err(error.clone()))),
            (Job::Begin(request, reply), None) => {
                let looked = match done {
                    Some(Done::Looked(looked)) => Ok(looked),
                    _ => Err(KeysError::new(path, "was not looked up")),
                };
                if let Err(Ok(Looked::Begun)) = reply.send(looked) {
                    abandoned.push(Job::End(request.id, End::Free, None));
                }
            }
            (Job::Fetch(_, _, reply), Some(error)) => drop(reply.send(Err(error.clone()))),
            (Job::Fetch(_, held, reply), None) => {
                let kept = match done {
                    Some(Done::Fetched(kept)) => kept.map(|kept| kept.with(held)),
                    _ => None,
                };
                drop(reply.send(Ok(kept)));
            }
            (Job::End(_, _, Some(reply)), Some(error)) => drop(reply.send(Err(error.clone()))),
            (Job::End(_, _, Some(reply)), None) => drop(reply.send(Ok(()))),
            (Job::End(_, _, None), _) => {}
        }
    }
    abandoned
}
