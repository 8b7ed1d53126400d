//! The WebSockets of one service: counted without locks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What goes on on the WebSockets of one service.
#[derive(Debug, Default)]
pub struct Sockets {
    open: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Sockets {
    /// One more, unless there are so many already.
    pub(crate) fn enter(&self, most: u64) -> bool {
        let more = |open| (open < most).then_some(open + 1);
        self.open.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// A client's message is handed to the service.
    pub(crate) fn received(&self) {
        self.received.fetch_add(1, Relaxed);
    }

    /// A message goes to a client.
    pub(crate) fn sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    /// Connections that are open, those that are being made among them.
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// Messages to and from clients since the host started, each with its direction's name.
    pub fn messages(&self) -> [(&'static str, u64); 2] {
        [("in", &self.received), ("out", &self.sent)]
            .map(|(direction, count)| (direction, count.load(Relaxed)))
    }
}
