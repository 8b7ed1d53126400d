//! The calls that a breaker judges by.

use std::collections::VecDeque;
use std::time::Duration;

use super::Span;

/// How many calls there were, and how many of them went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

/// A sliding window: adds and forgets at a cost that its length has no part in.
#[derive(Debug)]
pub(super) struct Window {
    span: Span,
    sum: Counts,
    /// One a call, or one a second that had any; the oldest in front.
    parts: VecDeque<(u64, Counts)>,
}

impl Window {
    pub(super) fn new(span: Span) -> Self {
        Self {
            span,
            sum: Counts::default(),
            parts: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, is_failure: bool, is_slow: bool, now: Duration) {
        let call = Counts {
            calls: 1,
            failed: is_failure.into(),
            slow: is_slow.into(),
        };
        let second = now.as_secs();
        let is_of_part = |part: &&mut (u64, Counts)| part.0 == second;
        match (self.span, self.parts.back_mut().filter(is_of_part)) {
            (Span::Seconds(_), Some((_, counts))) => counts.add(call),
            _ => self.parts.push_back((second, call)),
        }
        self.sum.add(call);
        self.forget(now);
    }

    /// Of the window as it is now.
    pub(super) fn counts(&mut self, now: Duration) -> Counts {
        self.forget(now);
        self.sum
    }

    fn forget(&mut self, now: Duration) {
        while let Some((second, counts)) = self.parts.front().copied() {
            let is_past = match self.span {
                Span::Calls(calls) => self.sum.calls > calls,
                Span::Seconds(seconds) => second + u64::from(seconds) <= now.as_secs(),
            };
            if !is_past {
                return;
            }
            self.sum.remove(counts);
            self.parts.pop_front();
        }
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.slow += other.slow;
    }

    fn remove(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failed -= other.failed;
        self.slow -= other.slow;
    }
}
