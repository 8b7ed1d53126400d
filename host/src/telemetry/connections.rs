//! How the gateway's connections ended: counted as they do, read by metrics.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// In order: one side said that it was done.
    Closed,
    /// It had no request, or none whose head was whole, for too long.
    Silent,
    /// The client did not read for too long.
    Unread,
    /// What came was no HTTP, or more than is taken.
    Malformed,
    /// The client took back most of what it asked.
    Resets,
    /// An answer was cut, which HTTP/1.1 has no other way to say.
    Cut,
    /// There was no TLS handshake.
    Handshake,
    /// It was lost: the client went away in the middle of something.
    Lost,
}

impl Ended {
    /// In the order of their counters.
    pub const ALL: [Self; 8] = [
        Self::Closed,
        Self::Silent,
        Self::Unread,
        Self::Malformed,
        Self::Resets,
        Self::Cut,
        Self::Handshake,
        Self::Lost,
    ];

    /// As logs and metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Unread => "unread",
            Self::Malformed => "malformed",
            Self::Resets => "resets",
            Self::Cut => "cut",
            Self::Handshake => "handshake",
            Self::Lost => "lost",
        }
    }

    /// By what HTTP says of a connection that did not end in order.
    pub(crate) fn by(error: &(dyn Error + 'static)) -> Self {
        let http = error.downcast_ref::<hyper::Error>();
        if http.is_some_and(hyper::Error::is_user) {
            return Self::Cut;
        }
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return match error.kind() {
                    io::ErrorKind::TimedOut => Self::Unread,
                    _ => Self::Lost,
                };
            }
            cause = error.source();
        }
        match http.is_some_and(hyper::Error::is_incomplete_message) {
            true => Self::Lost,
            false => Self::Malformed,
        }
    }
}

/// Connections since the host started.
#[derive(Debug, Default)]
pub struct Connections {
    accepted: AtomicU64,
    ended: [AtomicU64; Ended::ALL.len()],
    limited: AtomicU64,
}

impl Connections {
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn ended(&self, why: Ended) {
        self.ended[why as usize].fetch_add(1, Relaxed);
    }

    /// As many were open as may be, and the next one had to wait.
    pub(crate) fn limited(&self) {
        self.limited.fetch_add(1, Relaxed);
    }

    /// How many were taken, and how often none was since as many were open as may be.
    pub fn counts(&self) -> (u64, u64) {
        (self.accepted.load(Relaxed), self.limited.load(Relaxed))
    }

    /// Each reason and how often it was one.
    pub fn ends(&self) -> [(Ended, u64); Ended::ALL.len()] {
        Ended::ALL.map(|why| (why, self.ended[why as usize].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let connections = Connections::default();
        for (index, why) in Ended::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index);
            connections.ended(why);
        }
        assert_eq!(connections.ends(), Ended::ALL.map(|why| (why, 1)));
    }

    #[test]
    fn what_the_system_says_tells_a_client_that_does_not_read_from_one_that_is_gone() {
        for (kind, expected) in [
            (io::ErrorKind::TimedOut, Ended::Unread),
            (io::ErrorKind::ConnectionReset, Ended::Lost),
            (io::ErrorKind::UnexpectedEof, Ended::Lost),
        ] {
            assert_eq!(Ended::by(&io::Error::from(kind)), expected);
        }
        assert_eq!(Ended::by(&std::fmt::Error), Ended::Malformed);
    }
}
