//! The access log: a line for each request from outside, in a file of its own.
//!
//! Whoever has a line never waits for a disk: it goes into memory, of which there is so much, and a thread writes what has
//! gathered there. What a slow disk leaves no room for is dropped and counted.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use skep_policy::access_log::{Entry, Format, add_line};
use tokio::sync::oneshot;

use crate::config;

/// Bytes of lines that may wait for the disk.
const BYTES_MAX: usize = 16 << 20;
/// Memory that is kept for lines that come later.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// It says who visits what: nobody's but the host's and its group's.
const MODE: u32 = 0o640;
/// How long lines gather before they are written: each write and each wake of the thread takes time from requests.
const GATHER: Duration = Duration::from_millis(5);
/// How long the host's end waits for lines to be written.
const CLOSE_MAX: Duration = Duration::from_secs(1);

thread_local! {
    /// Where a line is made, so that nobody else waits for that.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The log and its thread, which ends with this.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    waiting: Mutex<Waiting>,
    /// For the thread: there is something to do.
    work: Condvar,
}

/// What the thread is to do.
#[derive(Debug, Default)]
struct Waiting {
    lines: String,
    /// Bytes of the lines before those, which it is writing.
    writing: usize,
    /// To open the file again.
    reopens: bool,
    /// To say when all lines until now have been written.
    ends: Vec<oneshot::Sender<()>>,
    /// To end when all that is done.
    is_closed: bool,
}

impl Waiting {
    fn is_nothing(&self) -> bool {
        self.lines.is_empty() && !self.is_urgent()
    }

    fn is_urgent(&self) -> bool {
        self.reopens || self.is_closed || !self.ends.is_empty()
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line if there is room for it.
    fn add(&self, line: &str) {
        let mut waiting = self.waiting();
        if waiting.writing + waiting.lines.len() + line.len() > BYTES_MAX {
            drop(waiting);
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let is_first = waiting.lines.is_empty();
        waiting.lines.push_str(line);
        drop(waiting);
        if is_first {
            self.work.notify_one();
        }
    }

    /// Gives the thread something to do at once.
    fn order(&self, order: impl FnOnce(&mut Waiting)) {
        order(&mut self.waiting());
        self.work.notify_one();
    }

    /// Waits for something to do. `lines`, which are written, make room.
    fn next(&self, mut lines: String) -> Waiting {
        lines.clear();
        lines.shrink_to(KEPT_BYTES_MAX);
        let mut waiting = self.waiting();
        waiting.writing = 0;
        let is_nothing = |waiting: &mut Waiting| waiting.is_nothing();
        let waited = self.work.wait_while(waiting, is_nothing);
        waiting = waited.unwrap_or_else(PoisonError::into_inner);
        let is_calm = |waiting: &mut Waiting| !waiting.is_urgent();
        let waited = self.work.wait_timeout_while(waiting, GATHER, is_calm);
        (waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let next = Waiting {
            lines: mem::replace(&mut waiting.lines, lines),
            writing: 0,
            reopens: mem::take(&mut waiting.reopens),
            ends: mem::take(&mut waiting.ends),
            is_closed: waiting.is_closed,
        };
        waiting.writing = next.lines.len();
        next
    }
}

impl AccessLog {
    /// Opens the file, after what is in it.
    ///
    /// # Errors
    /// When that can't be done, or a thread can't be started.
    pub fn open(settings: &config::AccessLog) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut writer = Writer {
            file: open(&settings.file)?,
            path: settings.file.clone(),
            is_torn: false,
            fails: false,
            shared: shared.clone(),
        };
        thread::Builder::new()
            .name("skep-access".to_owned())
            .spawn(move || writer.follow())?;
        Ok(Self {
            format: settings.format,
            shared,
        })
    }

    /// Writes a line for a request that is over.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            add_line(line, entry, self.format);
            self.shared.add(line);
        });
    }

    /// Has the file opened again: what was there has been moved away.
    pub fn reopen(&self) {
        self.shared.order(|waiting| waiting.reopens = true);
    }

    /// Lines that could not be written since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Waits until what there is has been written, but not for long.
    pub async fn close(&self) {
        let (done, written) = oneshot::channel();
        self.shared.order(|waiting| waiting.ends.push(done));
        // A disk that is too slow loses what still waits, as ever.
        tokio::time::timeout(CLOSE_MAX, written).await.ok();
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.order(|waiting| waiting.is_closed = true);
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE).open(path)
}

struct Writer {
    path: PathBuf,
    file: File,
    /// Whether the last line in the file has no end.
    is_torn: bool,
    /// Whether the last lines could not be written, which has been said.
    fails: bool,
    shared: Arc<Shared>,
}

impl Writer {
    fn follow(&mut self) {
        let mut lines = String::new();
        loop {
            let next = self.shared.next(lines);
            if next.reopens {
                self.reopen();
            }
            self.write(&next.lines);
            for done in next.ends {
                // Who asked may not have waited.
                done.send(()).ok();
            }
            if next.is_closed {
                return;
            }
            lines = next.lines;
        }
    }

    fn reopen(&mut self) {
        let path = self.path.display();
        match open(&self.path) {
            Ok(file) => {
                (self.file, self.is_torn) = (file, false);
                tracing::info!(%path, "the access log was opened again");
            }
            Err(error) => {
                tracing::warn!(%path, %error, "the access log could not be opened again: what was open is written on");
            }
        }
    }

    fn write(&mut self, lines: &str) {
        if lines.is_empty() {
            return;
        }
        let (written, outcome) = self.write_bytes(lines.as_bytes());
        let rest = &lines.as_bytes()[written..];
        match outcome {
            Ok(()) => self.fails = false,
            Err(error) => {
                let count = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.shared.dropped.fetch_add(count, Relaxed);
                self.is_torn |= written > 0 && lines.as_bytes()[written - 1] != b'\n';
                if !std::mem::replace(&mut self.fails, true) {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "the access log can't be written: its lines are dropped");
                }
            }
        }
    }

    /// How much was written, and whether that is all.
    fn write_bytes(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        if self.is_torn {
            match self.file.write_all(b"\n") {
                Ok(()) => self.is_torn = false,
                Err(error) => return (0, Err(error)),
            }
        }
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_policy::access_log::FIELD_BYTES_MAX;
    use std::net::Ipv4Addr;

    fn entry(agent: &[u8]) -> Entry<'_> {
        Entry {
            client: Ipv4Addr::LOCALHOST.into(),
            user: None,
            time: Duration::ZERO,
            method: "GET",
            target: "/",
            version: "1.1",
            host: None,
            status: 200,
            bytes: 0,
            referer: None,
            user_agent: Some(agent),
            duration: Duration::ZERO,
            service: None,
            fault: None,
            request_id: "",
        }
    }

    fn line(entry: &Entry<'_>) -> String {
        let mut line = String::new();
        add_line(&mut line, entry, Format::Combined);
        line
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_what_is_dropped_is_counted() {
        let shared = Shared::default();
        let agent = [0; FIELD_BYTES_MAX];
        let long = line(&entry(&agent));
        let room = BYTES_MAX / long.len();
        for _ in 0..room + 3 {
            shared.add(&long);
        }
        assert_eq!(shared.dropped.load(Relaxed), 3);
        assert_eq!(shared.waiting().lines.len(), room * long.len());
        // A line that is short enough for what is left has room.
        shared.add(&line(&entry(b"")));
        assert_eq!(shared.dropped.load(Relaxed), 3);
        // What is being written waits, too, until the next look.
        let written = shared.next(String::new());
        shared.add(&long);
        assert_eq!(shared.dropped.load(Relaxed), 4);
        shared.order(|waiting| waiting.reopens = true);
        assert!(shared.next(written.lines).reopens);
        shared.add(&long);
        assert_eq!(shared.dropped.load(Relaxed), 4);
    }

    #[tokio::test]
    async fn what_was_written_is_in_the_file_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log");
        let log = AccessLog::open(&config::AccessLog {
            file: file.clone(),
            format: Format::Combined,
        })
        .unwrap();
        for _ in 0..3 {
            log.write(&entry(b"agent"));
        }
        log.close().await;
        let expected = line(&entry(b"agent")).repeat(3);
        assert_eq!(std::fs::read_to_string(file).unwrap(), expected);
        assert_eq!(log.dropped(), 0);
    }
}
