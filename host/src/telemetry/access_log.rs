//! The access log: a line for each request from outside, in a file of its own.
//!
//! Whoever has a line never waits: it goes through a bounded queue to a thread of its own, and what a slow disk leaves no
//! room for is dropped and counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed, Release},
};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use skep_policy::access_log::{Entry, Format, line};
use tokio::sync::oneshot;

use crate::config;

/// Lines that may wait for the disk.
const LINES_MAX: usize = 8192;
/// Bytes of lines that may wait for the disk.
const BYTES_MAX: usize = 16 << 20;
/// Bytes of lines that are written at once.
const WRITE_BYTES: usize = 64 << 10;
/// It says who visits what: nobody's but the host's and its group's.
const MODE: u32 = 0o640;
/// How long lines gather before they are written: each write and each wake of the thread takes time from requests.
const GATHER: Duration = Duration::from_millis(5);
/// How long the host's end waits for lines to be written.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// The log and its thread, which ends with this.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    messages: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// To look whether the file is to be opened again.
    Look,
    /// To say when all lines before have been written.
    End(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    /// Bytes of the lines that are not written yet.
    waiting: AtomicUsize,
    reopen: AtomicBool,
}

impl AccessLog {
    /// Opens the file, after what is in it.
    ///
    /// # Errors
    /// When that can't be done, or a thread can't be started.
    pub fn open(settings: &config::AccessLog) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (messages, queue) = sync_channel(LINES_MAX);
        let mut writer = Writer {
            file: open(&settings.file)?,
            path: settings.file.clone(),
            is_torn: false,
            fails: false,
            shared: shared.clone(),
        };
        thread::Builder::new()
            .name("skep-access".to_owned())
            .spawn(move || writer.follow(&queue))?;
        Ok(Self {
            format: settings.format,
            messages,
            shared,
        })
    }

    /// Writes a line for a request that is over.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let line = line(entry, self.format);
        let (bytes, waiting) = (line.len(), &self.shared.waiting);
        let has_room = waiting.fetch_add(bytes, Relaxed) + bytes <= BYTES_MAX;
        if !has_room || self.messages.try_send(Message::Line(line)).is_err() {
            waiting.fetch_sub(bytes, Relaxed);
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Has the file opened again: what was there has been moved away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Release);
        // If the queue is full, the thread looks before the next lines anyway.
        self.messages.try_send(Message::Look).ok();
    }

    /// Lines that could not be written since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Waits until what there is has been written, but not for long.
    pub async fn close(&self) {
        let (done, written) = oneshot::channel();
        if self.messages.try_send(Message::End(done)).is_ok() {
            // A disk that is too slow loses what still waits, as ever.
            tokio::time::timeout(CLOSE_MAX, written).await.ok();
        }
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
    fn follow(&mut self, queue: &Receiver<Message>) {
        let mut lines = String::new();
        while let Ok(first) = queue.recv() {
            if matches!(first, Message::Line(_)) {
                thread::sleep(GATHER);
            }
            let mut next = Some(first);
            let mut ended = None;
            while let Some(message) = next.take() {
                match message {
                    Message::Line(line) => lines.push_str(&line),
                    Message::Look => {}
                    Message::End(done) => ended = Some(done),
                }
                if lines.len() < WRITE_BYTES && ended.is_none() {
                    next = queue.try_recv().ok();
                }
            }
            if self.shared.reopen.swap(false, AcqRel) {
                self.reopen();
            }
            self.write(&lines);
            self.shared.waiting.fetch_sub(lines.len(), Relaxed);
            lines.clear();
            if let Some(done) = ended {
                // Who asked may not have waited.
                done.send(()).ok();
            }
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

    #[test]
    fn long_lines_that_wait_are_bounded_in_bytes_and_what_is_dropped_is_counted() {
        let (messages, queue) = sync_channel(LINES_MAX);
        let shared = Arc::new(Shared::default());
        let log = AccessLog {
            format: Format::Combined,
            messages,
            shared: shared.clone(),
        };
        let agent = [0; FIELD_BYTES_MAX];
        let bytes = line(&entry(&agent), Format::Combined).len();
        let room = BYTES_MAX / bytes;
        assert!(room < LINES_MAX);
        for _ in 0..room + 3 {
            log.write(&entry(&agent));
        }
        assert_eq!((log.dropped(), queue.try_iter().count()), (3, room));
        assert_eq!(shared.waiting.load(Relaxed), room * bytes);
        // A line that is short enough for what is left has room.
        log.write(&entry(b""));
        assert_eq!((log.dropped(), queue.try_iter().count()), (3, 1));
    }

    #[tokio::test]
    async fn what_was_written_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let log = AccessLog::open(&config::AccessLog {
            file: folder.path().join("access.log"),
            format: Format::Combined,
        })
        .unwrap();
        for _ in 0..3 {
            log.write(&entry(b"agent"));
        }
        log.close().await;
        assert_eq!((log.dropped(), log.shared.waiting.load(Relaxed)), (0, 0));
    }
}
