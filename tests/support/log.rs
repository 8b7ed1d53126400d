//! The host's log as it is written: JSON lines on standard error.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

/// All that the host has said so far.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<Arc<Line>>>>,
    count: watch::Receiver<usize>,
}

/// One line of the log.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    event: Value,
}

impl Log {
    /// Follows what is written to `stream` until it ends.
    pub(crate) fn follow(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (told, count) = watch::channel(0);
        let log = Self { lines, count };
        let lines = log.lines.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream);
            let mut bytes = Vec::new();
            while reader
                .read_until(b'\n', &mut bytes)
                .await
                .is_ok_and(|read| read > 0)
            {
                let line = Line::parse(&String::from_utf8_lossy(&bytes));
                bytes.clear();
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(Arc::new(line));
                told.send_replace(lines.len());
            }
        });
        log
    }

    /// The first line that fits, as soon as there is one; `None` if the log ends without it.
    pub(crate) async fn find(&self, fits: impl Fn(&Line) -> bool) -> Option<Arc<Line>> {
        let mut count = self.count.clone();
        let mut seen = 0;
        loop {
            let known = *count.borrow_and_update();
            let fresh = self.lines()[seen..known]
                .iter()
                .find(|line| fits(line))
                .cloned();
            if fresh.is_some() {
                return fresh;
            }
            seen = known;
            count.changed().await.ok()?;
        }
    }

    /// Waits until the log has ended.
    pub(crate) async fn ended(&self) {
        let mut count = self.count.clone();
        while count.changed().await.is_ok() {}
    }

    /// The lines that fit, of those written so far.
    pub(crate) fn all(&self, fits: impl Fn(&Line) -> bool) -> Vec<Arc<Line>> {
        self.lines()
            .iter()
            .filter(|line| fits(line))
            .cloned()
            .collect()
    }

    /// The last `count` lines as they were written, without those of requests that went well.
    pub(crate) fn tail(&self, count: usize) -> String {
        let lines =
            self.all(|line| line.field("status") != "200" || !line.field("cause").is_empty());
        let from = lines.len().saturating_sub(count);
        lines[from..]
            .iter()
            .map(|line| format!("  {}\n", line.text))
            .collect()
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn parse(text: &str) -> Self {
        let text = text.trim_end().to_owned();
        let event = serde_json::from_str(&text).unwrap_or_default();
        Self { text, event }
    }

    /// The line as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A field of the event as text; empty if it has none of that name.
    pub(crate) fn field(&self, name: &str) -> String {
        match &self.event["fields"][name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// What the event is called.
    pub(crate) fn message(&self) -> String {
        self.field("message")
    }

    /// Which part of the host wrote it.
    pub(crate) fn target(&self) -> &str {
        self.event["target"].as_str().unwrap_or_default()
    }

    /// `TRACE` to `ERROR`; empty if the line is no event.
    pub(crate) fn level(&self) -> &str {
        self.event["level"].as_str().unwrap_or_default()
    }

    /// Whether the event is `message` about `service`.
    pub(crate) fn says(&self, message: &str, service: &str) -> bool {
        self.message() == message && self.field("service") == service
    }

    /// Whether a thread of the host panicked here.
    pub(crate) fn is_panic(&self) -> bool {
        // What a guest prints and the detail of a guest's trap may speak of panics; the host's own are no events.
        self.event.is_null()
            && (self.text.contains("panicked at") || self.text.contains("fatal runtime error"))
            || self.field("detail").starts_with("panic:")
    }
}
