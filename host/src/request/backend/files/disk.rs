//! Finds and reads files, on threads that may wait for a disk; a bounded number at once.
//!
//! What is opened is looked at where it really is before it is read: a link may lead about in the folder and not out of it,
//! whoever changes the folder meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::Errno;
use skep_policy::files::Named;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::service::target;
use crate::fault::{Cause, Fault};

/// Files that are open at once; further requests wait.
const OPEN_MAX: usize = 1_024;
/// Threads that wait for a disk at once.
const JOBS_MAX: usize = 64;
/// What is read in one piece.
const PIECE_BYTES: u64 = 64 << 10;
/// What a folder is answered with.
const INDEX: &str = "index.html";

/// The way to files, which all services share.
#[derive(Debug)]
pub(crate) struct Disk {
    threads: Handle,
    open: Arc<Semaphore>,
    jobs: Arc<Semaphore>,
}

/// What a path leads to.
pub(super) enum Found {
    /// No file that is served.
    Nothing,
    /// A folder with an index, asked for without the slash at its end.
    Folder,
    /// A file.
    File(Opened),
}

/// A file that is open.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) modified: SystemTime,
    /// What it begins with; all of it if it is short.
    first: Bytes,
    open: Option<Open>,
}

/// Gives its place back when it is closed.
struct Open {
    file: Arc<File>,
    disk: Arc<Disk>,
    _permit: OwnedSemaphorePermit,
}

/// A part of a file that is being read.
pub(super) struct Reading {
    left: Range<u64>,
    /// The beginning of what is left.
    first: Bytes,
    open: Option<Open>,
}

impl Disk {
    /// Waits on the threads of this runtime.
    pub(crate) fn new(threads: Handle) -> Arc<Self> {
        Arc::new(Self {
            threads,
            open: Arc::new(Semaphore::new(OPEN_MAX)),
            jobs: Arc::new(Semaphore::new(JOBS_MAX)),
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let turn = self.jobs.clone().acquire_owned().await;
        let turn = turn.map_err(io::Error::other)?;
        let job = move || {
            let _turn = turn;
            job()
        };
        self.threads
            .spawn_blocking(job)
            .await
            .map_err(io::Error::other)
    }

    /// What is at `named`, or the file that is there for what names none.
    ///
    /// # Errors
    /// [`Cause::HostFailed`] when it can't be told.
    pub(super) async fn find(
        self: &Arc<Self>,
        config: &target::Files,
        named: Named,
    ) -> Result<Found, Fault> {
        let failed = |error: io::Error| Fault::new(Cause::HostFailed, error);
        let closed = |_| Fault::from(Cause::HostFailed);
        let permit = self.open.clone().acquire_owned().await.map_err(closed)?;
        let (disk, config) = (self.clone(), config.clone());
        let find = move || {
            let mut found = look(&config.folder, &named)?;
            if let (Look::Nothing, Some(spa)) = (&found, &config.spa) {
                let path = spa.clone();
                let spa = Named {
                    path,
                    is_folder: false,
                };
                found = look(&config.folder, &spa)?;
            }
            match found {
                Look::Nothing => Ok(Found::Nothing),
                Look::Folder => Ok(Found::Folder),
                Look::File(file, name) => Opened::of(file, name, disk, permit).map(Found::File),
            }
        };
        self.run(find).await.and_then(|found| found).map_err(failed)
    }
}

enum Look {
    Nothing,
    Folder,
    File(File, String),
}

/// Looks for a file; blocks.
fn look(folder: &Path, named: &Named) -> io::Result<Look> {
    let Some((_, root)) = place(folder)? else {
        return Ok(Look::Nothing);
    };
    let path = if named.path.is_empty() {
        root.clone()
    } else {
        root.join(&named.path)
    };
    let Some(kind) = kind(&path, &root)? else {
        return Ok(Look::Nothing);
    };
    let (path, is_named_as_folder) = match (kind, named.is_folder) {
        (Kind::File, true) => return Ok(Look::Nothing),
        (Kind::File, false) => (path, false),
        (Kind::Folder, is_folder) => (path.join(INDEX), !is_folder),
    };
    let Some((file, real)) = place(&path)? else {
        return Ok(Look::Nothing);
    };
    if !real.starts_with(&root) || !file.metadata()?.is_file() {
        return Ok(Look::Nothing);
    }
    if is_named_as_folder {
        return Ok(Look::Folder);
    }
    let name = path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    // What was looked at is what is read, whatever the path leads to by now.
    match File::open(by_descriptor(&file)) {
        Ok(file) => Ok(Look::File(file, name)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Look::Nothing),
        Err(error) => Err(error),
    }
}

enum Kind {
    File,
    Folder,
}

/// What is at `path`, if that is below `root`.
fn kind(path: &Path, root: &Path) -> io::Result<Option<Kind>> {
    let Some((file, real)) = place(path)? else {
        return Ok(None);
    };
    let metadata = file.metadata()?;
    Ok(match real.starts_with(root) {
        true if metadata.is_dir() => Some(Kind::Folder),
        true if metadata.is_file() => Some(Kind::File),
        _ => None,
    })
}

/// What `path` leads to, opened for looking at it alone, and where that really is. None if it leads nowhere.
fn place(path: &Path) -> io::Result<Option<(File, PathBuf)>> {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    let flags = OFlags::PATH.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) => {
            return match error.kind() {
                NotFound | NotADirectory | PermissionDenied | InvalidFilename => Ok(None),
                _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
                _ => Err(error),
            };
        }
    };
    let real = fs::read_link(by_descriptor(&file))?;
    Ok(Some((file, real)))
}

fn by_descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

impl Opened {
    fn of(
        file: File,
        name: String,
        disk: Arc<Disk>,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let length = metadata.len();
        let first = piece(&file, 0..length)?;
        let is_whole = first.len() as u64 >= length;
        let open = (!is_whole).then(|| Open {
            file: Arc::new(file),
            disk,
            _permit: permit,
        });
        Ok(Self {
            name,
            length,
            modified: metadata.modified().unwrap_or(UNIX_EPOCH),
            first,
            open,
        })
    }

    /// These bytes of it, which it has.
    pub(super) fn read(self, bytes: Range<u64>) -> Reading {
        let Ok(start) = usize::try_from(bytes.start) else {
            return Reading::later(bytes, self.open);
        };
        let is_there = start < self.first.len();
        if !is_there && self.open.is_some() {
            return Reading::later(bytes, self.open);
        }
        let wanted = usize::try_from(bytes.end).unwrap_or(usize::MAX);
        let end = wanted.min(self.first.len());
        let first = self.first.slice(start.min(end)..end);
        let left = bytes.start + first.len() as u64..bytes.end;
        Reading {
            open: self.open.filter(|_| !left.is_empty()),
            left,
            first,
        }
    }
}

impl Reading {
    fn later(left: Range<u64>, open: Option<Open>) -> Self {
        Self {
            left,
            first: Bytes::new(),
            open,
        }
    }

    /// What is there already, and the rest if there is any.
    pub(super) fn begun(mut self) -> (Bytes, Option<Self>) {
        let first = std::mem::take(&mut self.first);
        let has_more = self.open.is_some();
        (first, has_more.then_some(self))
    }

    /// The next piece and what is left; None at the end.
    ///
    /// # Errors
    /// When the file can't be read, or has become shorter.
    pub(super) async fn next(self) -> io::Result<Option<(Bytes, Self)>> {
        let Self { left, open, .. } = self;
        let Some(open) = open.filter(|_| !left.is_empty()) else {
            return Ok(None);
        };
        let (file, wanted) = (open.file.clone(), left.clone());
        let read = open.disk.run(move || piece(&file, wanted)).await;
        let bytes = read??;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left.start + bytes.len() as u64..left.end;
        Ok(Some((bytes, Self::later(left, Some(open)))))
    }
}

/// The beginning of `bytes` of the file; less than a piece only if the file has no more.
fn piece(file: &File, bytes: Range<u64>) -> io::Result<Bytes> {
    let wanted = (bytes.end - bytes.start).min(PIECE_BYTES);
    let mut piece = vec![0; usize::try_from(wanted).unwrap_or(0)];
    let mut filled = 0;
    while filled < piece.len() {
        match file.read_at(&mut piece[filled..], bytes.start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok(piece.into())
}
