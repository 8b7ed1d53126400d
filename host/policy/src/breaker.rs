//! A circuit breaker: after too many failed or slow calls it refuses all for a while, then lets a few through to see.
//!
//! Names and defaults are Resilience4j's. Time is an argument, counted from any fixed moment.

mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::window::Window;

/// When a breaker opens, and when it closes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The calls that count.
    pub window: Span,
    /// Fewer calls than this never open it.
    pub minimum_calls: u32,
    /// Percent of failed calls that opens it.
    pub failure_rate: u8,
    /// Percent of slow calls that opens it.
    pub slow_call_rate: u8,
    /// A call that takes as long is slow.
    pub slow_call_duration: Duration,
    /// How long it stays open.
    pub open: Duration,
    /// Calls that are let through, then, to see whether it can close.
    pub half_open_calls: u32,
}

/// Which calls count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Span {
    /// So many of the last ones.
    Calls(u32),
    /// Those of the last so many seconds, the one under way included.
    Seconds(u32),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Span::Calls(100),
            minimum_calls: 100,
            failure_rate: 50,
            slow_call_rate: 100,
            slow_call_duration: Duration::from_secs(60),
            open: Duration::from_secs(60),
            half_open_calls: 10,
        }
    }
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Success,
    /// It failed, and by no fault of its caller.
    Failure,
    /// It says nothing about the service.
    Ignored,
}

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Lets all through.
    Closed,
    /// Refuses all.
    Open,
    /// Lets a few through.
    HalfOpen,
}

/// The right to make a call; its outcome is to be recorded with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// What was decided before the breaker changed its state says nothing about after.
    era: u64,
}

/// No call now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When a call may be let through again, at the earliest.
    pub retry_after: Duration,
}

/// One breaker.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    era: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Closed(Window),
    Open { until: Duration },
    HalfOpen { begun: u32, seen: Window },
}

impl Breaker {
    /// A closed breaker that has seen no call.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let window = Window::new(settings.window);
        Self {
            settings,
            era: 0,
            phase: Phase::Closed(window),
        }
    }

    /// The same, for those who hold passes of the one before it: they say nothing here.
    #[must_use]
    pub fn in_place_of(mut self, before: Option<&Self>) -> Self {
        self.era = before.map_or(0, |before| before.era + 1);
        self
    }

    /// Whether a call may be made now.
    ///
    /// # Errors
    /// When the breaker is open, or half open with as many calls under way as it lets through.
    pub fn admit(&mut self, now: Duration) -> Result<Pass, Refused> {
        if let Phase::Open { until } = self.phase {
            if now < until {
                return Err(Refused {
                    retry_after: until - now,
                });
            }
            let seen = Window::new(Span::Calls(self.settings.half_open_calls));
            self.enter(Phase::HalfOpen { begun: 0, seen });
        }
        if let Phase::HalfOpen { begun, .. } = &mut self.phase {
            if *begun == self.settings.half_open_calls {
                return Err(Refused {
                    retry_after: Duration::ZERO,
                });
            }
            *begun += 1;
        }
        Ok(Pass { era: self.era })
    }

    /// Takes in how an admitted call went that took so long.
    pub fn record(&mut self, pass: Pass, outcome: Outcome, took: Duration, now: Duration) {
        if pass.era != self.era {
            return;
        }
        let is_slow = took >= self.settings.slow_call_duration;
        let is_failure = outcome == Outcome::Failure;
        let needed = match &mut self.phase {
            Phase::Open { .. } => return,
            Phase::HalfOpen { begun, .. } if outcome == Outcome::Ignored => {
                // Another may go in its place.
                *begun = begun.saturating_sub(1);
                return;
            }
            Phase::Closed(_) if outcome == Outcome::Ignored => return,
            Phase::HalfOpen { seen, .. } => {
                seen.add(is_failure, is_slow, now);
                self.settings.half_open_calls
            }
            Phase::Closed(window) => {
                window.add(is_failure, is_slow, now);
                self.settings.minimum_calls
            }
        };
        self.judge(needed, now);
    }

    fn judge(&mut self, needed: u32, now: Duration) {
        let (Phase::Closed(window) | Phase::HalfOpen { seen: window, .. }) = &mut self.phase else {
            return;
        };
        let counts = window.counts(now);
        if counts.calls < needed {
            return;
        }
        let reaches = |part: u32, percent: u8| {
            u64::from(part) * 100 >= u64::from(counts.calls) * u64::from(percent)
        };
        let is_bad = reaches(counts.failed, self.settings.failure_rate)
            || reaches(counts.slow, self.settings.slow_call_rate);
        let is_probing = matches!(self.phase, Phase::HalfOpen { .. });
        if is_bad {
            let until = now.saturating_add(self.settings.open);
            self.enter(Phase::Open { until });
        } else if is_probing {
            let window = Window::new(self.settings.window);
            self.enter(Phase::Closed(window));
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
    }

    /// What it does with calls now.
    #[must_use]
    pub fn state(&self, now: Duration) -> State {
        match self.phase {
            Phase::Closed(_) => State::Closed,
            Phase::Open { until } if now < until => State::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
mod tests;
