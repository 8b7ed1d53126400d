//! Whether a connection goes on: its client is there and may be, and its service is there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skep_policy::websocket::{Beat, code};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::{Phase, Talk};

impl Talk<'_> {
    /// When to look at the pulse.
    pub(super) fn wake(&self) -> Instant {
        match self.pulse.beat(self.now()) {
            Beat::Wait(until) => {
                let is_open = self.phase == Phase::Open;
                let left = is_open.then(|| self.left()).flatten();
                let left = left.unwrap_or(Duration::MAX);
                self.began + until.min(self.now().saturating_add(left))
            }
            Beat::Ping | Beat::Idle | Beat::Gone => Instant::now(),
        }
    }

    /// How long it is proved yet who the client is; None if that does not end.
    fn left(&self) -> Option<Duration> {
        let until = self.about.head.until()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Some(until.saturating_sub(now.unwrap_or_default()))
    }

    pub(super) fn look(&mut self) {
        let now = self.now();
        let moved = self.socket.get_ref().at();
        self.pulse
            .moved(moved.saturating_duration_since(self.began));
        if self.phase != Phase::Open {
            return self.look_at_last_words(now);
        }
        if self.left().is_some_and(|left| left.is_zero()) {
            self.inbox.clear();
            self.inbox_bytes = 0;
            return self.close(code::REFUSED);
        }
        if self.is_busy || self.reply.is_some() {
            self.pulse.message(now);
        }
        if !self.has_room() {
            self.pulse.heard(now);
        }
        let snapshot = self.about.core.registry.snapshot();
        if !snapshot.services.contains_key(&self.about.head.service) {
            return self.close(code::GOING_AWAY);
        }
        match self.pulse.beat(now) {
            Beat::Wait(_) => {}
            Beat::Idle => self.close(code::GOING_AWAY),
            Beat::Gone => self.lost(code::ABNORMAL),
            Beat::Ping => {
                self.pulse.asked(now);
                // Until then it must take some of what waits to be written.
                self.owes_ping = self.is_writing;
                if !self.is_writing {
                    self.put(Message::Ping(bytes::Bytes::new()));
                }
            }
        }
    }

    /// Whether who is told the last words takes them.
    fn look_at_last_words(&mut self, now: Duration) {
        self.pulse.message(now);
        match self.pulse.beat(now) {
            Beat::Wait(_) => {}
            Beat::Ping => self.pulse.asked(now),
            Beat::Idle | Beat::Gone => self.lost(code::ABNORMAL),
        }
    }

    pub(super) fn written(&mut self) {
        self.is_writing = false;
        if std::mem::take(&mut self.owes_ping) && self.phase == Phase::Open {
            self.pulse.asked(self.now());
            self.put(Message::Ping(bytes::Bytes::new()));
        }
    }
}
