//! A guest's standard output and error, line by line into the log.
//!
//! Writing never waits: what comes faster than the bound allows is counted and dropped.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use tokio::io::AsyncWrite;
use tokio::sync::broadcast;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::state::now_unix_ms;

/// Bytes of a line that reach the log; the rest of the line is cut.
const LINE_BYTES_MAX: usize = 4096;
/// Lines a second of one revision that reach the log.
const LINES_PER_SECOND_MAX: u32 = 200;
/// Lines that a follower may be behind before it misses some.
const LINES_BEHIND_MAX: usize = 1024;
/// What one write may carry.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Which of a guest's two streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line that a guest printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Whose.
    pub service: String,
    /// Of which revision.
    pub revision: u64,
    /// `stdout` or `stderr`.
    pub stream: &'static str,
    /// The line, without its end.
    pub text: String,
}

/// Those who follow what guests print. A slow one misses lines; guests never wait.
#[derive(Debug, Clone)]
pub struct Lines(broadcast::Sender<Arc<Line>>);

impl Default for Lines {
    fn default() -> Self {
        Self(broadcast::Sender::new(LINES_BEHIND_MAX))
    }
}

impl Lines {
    /// What is printed from now on.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Line>> {
        self.0.subscribe()
    }

    fn tell(&self, line: impl FnOnce() -> Line) {
        if self.0.receiver_count() > 0 {
            self.0.send(Arc::new(line())).ok();
        }
    }
}

/// The budget of log lines that all instances of a revision share.
#[derive(Debug)]
pub(crate) struct LineBudget {
    service: String,
    revision: u64,
    followers: Lines,
    window: Mutex<Window>,
    is_silent: bool,
}

#[derive(Debug)]
struct Window {
    started: Instant,
    lines: u32,
    dropped: u64,
}

impl LineBudget {
    pub(crate) fn new(service: &str, revision: u64, followers: Lines) -> Arc<Self> {
        Arc::new(Self {
            service: service.into(),
            revision,
            followers,
            window: Mutex::new(Window::begin(Instant::now())),
            is_silent: false,
        })
    }

    /// One of which no line reaches the log.
    pub(crate) fn silent() -> Arc<Self> {
        Arc::new(Self {
            service: String::new(),
            revision: 0,
            followers: Lines::default(),
            window: Mutex::new(Window::begin(Instant::now())),
            is_silent: true,
        })
    }

    /// Where the lines go beside the log.
    pub(crate) fn followers(&self) -> &Lines {
        &self.followers
    }

    fn log(&self, stream: Stream, line: &[u8]) {
        if self.is_silent {
            return;
        }
        let (allowed, dropped) = self
            .window
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(Instant::now());
        let (service, revision) = (&self.service, self.revision);
        if dropped > 0 {
            tracing::warn!(target: "skep::guest", service, revision, dropped, "guest printed more than {LINES_PER_SECOND_MAX} lines a second");
        }
        if !allowed {
            return;
        }
        // A value, not a format: so the log quotes it, and no line can pass for another event or field.
        let message = &*String::from_utf8_lossy(line);
        self.followers.tell(|| Line {
            at_unix_ms: now_unix_ms(),
            service: service.clone(),
            revision,
            stream: stream.as_str(),
            text: message.to_owned(),
        });
        match stream {
            Stream::Stdout => {
                tracing::info!(target: "skep::guest", service, revision, stream = "stdout", message);
            }
            Stream::Stderr => {
                tracing::warn!(target: "skep::guest", service, revision, stream = "stderr", message);
            }
        }
    }
}

impl Window {
    fn begin(now: Instant) -> Self {
        Self {
            started: now,
            lines: 0,
            dropped: 0,
        }
    }

    /// Whether one more line may pass, and how many were dropped in the window that has just ended.
    fn take(&mut self, now: Instant) -> (bool, u64) {
        let mut dropped = 0;
        if now.duration_since(self.started).as_secs() >= 1 {
            dropped = std::mem::take(&mut self.dropped);
            *self = Self::begin(now);
        }
        if self.lines == LINES_PER_SECOND_MAX {
            self.dropped += 1;
            return (false, dropped);
        }
        self.lines += 1;
        (true, dropped)
    }
}

/// One instance's stdout or stderr. Clones write to the same line.
#[derive(Clone, Debug)]
pub(crate) struct LogStream(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stream: Stream,
    budget: Arc<LineBudget>,
    line: Mutex<Vec<u8>>,
}

impl LogStream {
    pub(crate) fn new(stream: Stream, budget: Arc<LineBudget>) -> Self {
        Self(Arc::new(Shared {
            stream,
            budget,
            line: Mutex::default(),
        }))
    }

    fn append(&self, bytes: &[u8]) {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_BYTES_MAX.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.0.budget.log(self.0.stream, &line);
                line.clear();
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let line = self.line.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !line.is_empty() {
            self.budget.log(self.stream, line);
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_the_bound_are_counted_and_reported_in_the_next_second() {
        let start = Instant::now();
        let mut window = Window {
            started: start,
            lines: 0,
            dropped: 0,
        };
        for _ in 0..LINES_PER_SECOND_MAX {
            assert_eq!(window.take(start), (true, 0));
        }
        assert_eq!(window.take(start), (false, 0));
        assert_eq!(window.take(start), (false, 0));
        assert_eq!(
            window.take(start + std::time::Duration::from_secs(1)),
            (true, 2)
        );
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let stream = LogStream::new(Stream::Stdout, LineBudget::new("a", 1, Lines::default()));
        for _ in 0..1000 {
            stream.append(&[b'x'; 1024]);
        }
        assert_eq!(stream.0.line.lock().unwrap().len(), LINE_BYTES_MAX);
        stream.append(b"\nnext");
        assert_eq!(*stream.0.line.lock().unwrap(), b"next");
    }
}
