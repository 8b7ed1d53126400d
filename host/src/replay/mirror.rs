//! What a running revision has answered, on its way to a candidate that answers it, too, for nobody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::kept::Recording;

/// Requests that wait for the candidate. Those that come while there are as many are left out.
const WAITING_MAX: usize = 64;

/// A part of a running revision's requests, as long as somebody holds this.
#[derive(Debug)]
pub(crate) struct Mirror {
    percent: u8,
    seen: AtomicU64,
    left_out: AtomicU64,
    out: Sender<Recording>,
}

impl Mirror {
    /// With what comes out of it. None if there is to be none.
    pub(crate) fn of(percent: u8) -> Option<(Self, Receiver<Recording>)> {
        let (out, coming) = mpsc::channel(WAITING_MAX);
        let mirror = Self {
            percent,
            seen: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            out,
        };
        (percent > 0).then_some((mirror, coming))
    }

    /// Requests that the candidate was not asked, since it had enough to do or they were too large.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    /// Whether the next request is one of those that are mirrored.
    pub(super) fn is_next(&self) -> bool {
        let (seen, percent) = (self.seen.fetch_add(1, Relaxed), u64::from(self.percent));
        (seen % 100) * percent % 100 < percent
    }

    /// None is a request that there was no memory for.
    pub(super) fn show(&self, recording: Option<Recording>) {
        let is_out = recording.is_some_and(|recording| self.out.try_send(recording).is_ok());
        if !is_out {
            self.left_out.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::super::kept::tests::recording;
    use super::*;

    #[test]
    fn so_many_in_a_hundred_are_mirrored_the_first_among_them() {
        assert!(Mirror::of(0).is_none());
        for percent in 1..=100 {
            let (mirror, _coming) = Mirror::of(percent).unwrap();
            let taken: Vec<bool> = (0..1000).map(|_| mirror.is_next()).collect();
            assert!(taken[0]);
            let many = taken.iter().filter(|taken| **taken).count();
            assert_eq!(many, usize::from(percent) * 10);
        }
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let (mirror, coming) = Mirror::of(100).unwrap();
        let budget = Budget::new(usize::MAX);
        for _ in 0..WAITING_MAX + 2 {
            mirror.show(Some(recording(&budget, 1)));
        }
        mirror.show(None);
        assert_eq!(mirror.left_out(), 3);
        drop(coming);
        mirror.show(Some(recording(&budget, 1)));
        assert_eq!(mirror.left_out(), 4);
    }
}
