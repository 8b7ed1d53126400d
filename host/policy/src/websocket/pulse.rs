//! Whether a connection is alive: who is silent is asked, who does not answer is gone, and who has nothing to say for
//! long goes, too.
//!
//! Time is an argument, counted from any fixed moment.

use std::time::Duration;

use super::Settings;

/// Control frames of a client in one second beyond which it is not served any more.
pub(super) const CONTROLS_PER_SECOND_MAX: u32 = 100;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing before then.
    Wait(Duration),
    /// The client is to be asked whether it is there.
    Ping,
    /// Nothing was said for too long.
    Idle,
    /// The client is not there any more.
    Gone,
}

/// How long ago what was heard.
#[derive(Debug, Clone)]
pub struct Pulse {
    idle: Duration,
    ping: Duration,
    /// When a message last went either way.
    message: Duration,
    /// When the client last sent anything.
    heard: Duration,
    /// When it was asked whether it is there, if it has not said anything since.
    asked: Option<Duration>,
    /// The second that control frames are counted in, and how many there were.
    controls: (u64, u32),
}

impl Pulse {
    /// Of a connection that is made now.
    #[must_use]
    pub fn new(settings: &Settings, now: Duration) -> Self {
        Self {
            idle: settings.idle,
            ping: settings.ping,
            message: now,
            heard: now,
            asked: None,
            controls: (0, 0),
        }
    }

    /// A message went either way, or is being worked on.
    pub fn message(&mut self, now: Duration) {
        self.message = now;
    }

    /// The client sent something, or could not have been heard.
    pub fn heard(&mut self, now: Duration) {
        self.heard = now;
        self.asked = None;
    }

    /// A part of something arrived at that time, or the client made room for a part of what is sent to it.
    pub fn moved(&mut self, at: Duration) {
        if at > self.asked.unwrap_or(self.heard) {
            self.heard(at);
        }
    }

    /// The client sent a control frame; false if it sends too many.
    #[must_use]
    pub fn control(&mut self, now: Duration) -> bool {
        let (second, count) = &mut self.controls;
        if *second != now.as_secs() {
            (*second, *count) = (now.as_secs(), 0);
        }
        *count = count.saturating_add(1);
        *count <= CONTROLS_PER_SECOND_MAX
    }

    /// The client was asked whether it is there.
    pub fn asked(&mut self, now: Duration) {
        self.asked = Some(now);
    }

    /// What is to be done now.
    #[must_use]
    pub fn beat(&self, now: Duration) -> Beat {
        let idle = self.message.saturating_add(self.idle);
        let next = match self.asked {
            Some(asked) => asked.saturating_add(self.ping),
            None => self.heard.saturating_add(self.ping),
        };
        match (now >= idle, now >= next, self.asked) {
            (true, _, _) => Beat::Idle,
            (false, true, Some(_)) => Beat::Gone,
            (false, true, None) => Beat::Ping,
            (false, false, _) => Beat::Wait(idle.min(next)),
        }
    }
}
