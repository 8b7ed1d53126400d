//! The way from one revision of a service to the next: step by step, by itself as long as the checks pass, and back.
//!
//! Names follow Argo Rollouts and Flagger. Time is an argument, counted from any fixed moment; the samples are the
//! caller's, too.

mod analysis;
mod metric;
mod split;
mod steps;
mod thousandths;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::analysis::{Analysis, Compare, Failure, Limit, Threshold, Verdict};
pub use self::metric::{Metric, MetricError, Sample};
pub use self::split::Split;
pub use self::steps::{Pause, Step, Steps, StepsError};
pub use self::thousandths::{Thousandths, ThousandthsError};

/// How a candidate comes to be the running revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How much of the requests it gets, and when.
    pub strategy: Strategy,
    /// How it is checked meanwhile; None if it is not.
    pub analysis: Option<Analysis>,
}

/// How much of the requests a candidate gets, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// All at once, unchecked.
    Immediate,
    /// More with every step; all of them after the last.
    Canary {
        /// The steps.
        steps: Steps,
    },
    /// None but those that ask for it, until it gets all.
    BlueGreen {
        /// When it does by itself; None if only an operator promotes it.
        auto_promote_after: Option<Duration>,
    },
}

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In a step that ends by itself.
    Progressing,
    /// In a step that ends when an operator promotes.
    Waiting,
    /// Held by an operator.
    Paused,
    /// Over: the candidate is the running revision.
    Promoted,
    /// Over: the running revision stays.
    Aborted,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Give the candidate so many percent of the requests.
    Weight(u8),
    /// Make it the running revision. The rollout is over.
    Promote,
    /// Give it no more requests, for these reasons. The rollout is over.
    Abort(Vec<String>),
}

/// What of a rollout survives a restart of the host. Times do not: the step begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The step's index.
    pub step: usize,
    /// Where the rollout is.
    pub phase: Phase,
    /// Failed checks so far.
    pub failed_checks: u32,
    /// Why it was aborted, if it was.
    pub reasons: Vec<String>,
}

/// What was saved is of another plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rollout was in step {} and its plan has {steps}: begin it anew", .step.saturating_add(1))]
pub struct Misfit {
    /// The index of the step that was saved.
    pub step: usize,
    /// Steps that the plan has.
    pub steps: usize,
}

/// One rollout.
///
/// A step is over when its time has passed and, with an analysis, the last check of it that could say something passed:
/// so no step is left unchecked or on a failed check. A check looks at one step only: each step begins with a whole
/// interval. Checks that say nothing make the step last longer.
///
/// Failed checks are counted from the beginning and no pass takes one back, as Flagger does: a candidate that fails every
/// other check is bad however often it passes in between, and would otherwise stay halfway for ever.
#[derive(Debug, Clone)]
pub struct Rollout {
    analysis: Option<Analysis>,
    steps: Vec<Step>,
    step: usize,
    state: State,
    /// When the step began; for one that was paused, later by the time for which it was.
    step_began: Duration,
    /// From when on is seen what the next check looks at.
    since: Duration,
    check_at: Duration,
    /// Whether the last check of this step that said anything passed.
    has_passed: bool,
    failed_checks: u32,
    reasons: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Going,
    Paused { at: Duration },
    Promoted,
    Aborted,
}

impl Strategy {
    fn steps(self) -> Vec<Step> {
        match self {
            Self::Immediate => Vec::new(),
            Self::Canary { steps } => steps.into(),
            Self::BlueGreen { auto_promote_after } => vec![Step {
                weight: 0,
                pause: auto_promote_after.map_or(Pause::UntilPromoted, Pause::For),
            }],
        }
    }
}

impl Rollout {
    /// In its first step; an immediate one is promoted as it begins. [`Rollout::weight`] is what the candidate gets.
    #[must_use]
    pub fn begin(plan: Plan, now: Duration) -> Self {
        let steps = plan.strategy.steps();
        let state = if steps.is_empty() {
            State::Promoted
        } else {
            State::Going
        };
        let mut rollout = Self {
            analysis: plan.analysis,
            steps,
            step: 0,
            state,
            step_began: now,
            since: now,
            check_at: now,
            has_passed: false,
            failed_checks: 0,
            reasons: Vec::new(),
        };
        rollout.enter(0, now);
        rollout
    }

    /// Where it was when it was saved, with the step's time begun anew. Whether the step ends by itself is the plan's.
    ///
    /// # Errors
    /// When the plan has no such step.
    pub fn restore(plan: Plan, saved: Saved, now: Duration) -> Result<Self, Misfit> {
        let mut rollout = Self::begin(plan, now);
        rollout.state = match saved.phase {
            Phase::Progressing | Phase::Waiting => State::Going,
            Phase::Paused => State::Paused { at: now },
            Phase::Promoted => State::Promoted,
            Phase::Aborted => State::Aborted,
        };
        let steps = rollout.steps.len();
        let needs_none = saved.step == 0 && saved.phase == Phase::Promoted;
        if saved.step >= steps && !needs_none {
            return Err(Misfit {
                step: saved.step,
                steps,
            });
        }
        rollout.step = saved.step;
        rollout.failed_checks = saved.failed_checks;
        rollout.reasons = saved.reasons;
        Ok(rollout)
    }

    /// What is to survive a restart.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            step: self.step,
            phase: self.phase(),
            failed_checks: self.failed_checks,
            reasons: self.reasons.clone(),
        }
    }

    /// Percent of the requests that the candidate gets now.
    #[must_use]
    pub fn weight(&self) -> u8 {
        match self.state {
            State::Promoted => 100,
            State::Aborted => 0,
            State::Going | State::Paused { .. } => {
                self.steps.get(self.step).map_or(0, |step| step.weight)
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Going if self.step_ends().is_some() => Phase::Progressing,
            State::Going => Phase::Waiting,
            State::Paused { .. } => Phase::Paused,
            State::Promoted => Phase::Promoted,
            State::Aborted => Phase::Aborted,
        }
    }

    /// The index of the step that it is in, or was in when it ended.
    #[must_use]
    pub fn step(&self) -> usize {
        self.step
    }

    /// All steps: of a blue-green rollout one without requests, of an immediate one none.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Failed checks so far.
    #[must_use]
    pub fn failed_checks(&self) -> u32 {
        self.failed_checks
    }

    /// From when on is to be in the samples what was seen of the revisions. It moves with every check that could say
    /// something and with every step; until a check can, what there is to see adds up.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.since
    }

    /// When [`Rollout::tick`] is to be called next, not before `now`; None if there is nothing to do but wait for an
    /// operator.
    #[must_use]
    pub fn next_check(&self, now: Duration) -> Option<Duration> {
        if self.is_over() {
            return None;
        }
        let check = self.analysis.as_ref().map(|_| self.check_at);
        let step_ends = self.step_ends().filter(|_| self.is_vouched_for());
        let first = check.into_iter().chain(step_ends).min();
        first.map(|at| at.max(now))
    }

    /// Checks the candidate, if it is time to, and goes on if the step is over: by one step at a time, however late it is.
    pub fn tick(&mut self, now: Duration, candidate: &Sample, running: &Sample) -> Option<Change> {
        if self.is_over() {
            return None;
        }
        if let Some(reasons) = self.check(now, candidate, running) {
            return Some(self.end_badly(reasons));
        }
        let is_due = self.step_ends().is_some_and(|at| now >= at);
        if is_due && self.is_vouched_for() {
            return Some(self.go_on(now));
        }
        None
    }

    /// An operator lets it go on: to the next step, checked or not; after the last one the candidate is promoted. A paused
    /// one only goes on where it was, as with [`Rollout::resume`].
    pub fn promote(&mut self, now: Duration) -> Option<Change> {
        if self.is_over() || self.resume(now) {
            return None;
        }
        Some(self.go_on(now))
    }

    /// An operator makes the candidate the running revision, whatever is left of the plan.
    pub fn promote_fully(&mut self) -> Option<Change> {
        if self.is_over() {
            return None;
        }
        self.state = State::Promoted;
        Some(Change::Promote)
    }

    /// An operator holds the weight and the step's time; checks go on. Whether that changed anything.
    pub fn pause(&mut self, now: Duration) -> bool {
        let is_going = self.state == State::Going;
        if is_going {
            self.state = State::Paused { at: now };
        }
        is_going
    }

    /// A paused one goes on where it was. Whether that changed anything.
    pub fn resume(&mut self, now: Duration) -> bool {
        let State::Paused { at } = self.state else {
            return false;
        };
        self.state = State::Going;
        self.step_began = self.step_began.saturating_add(now.saturating_sub(at));
        true
    }

    /// The candidate is given up: by an operator, or because it is not healthy.
    pub fn abort(&mut self, reason: impl Into<String>) -> Option<Change> {
        if self.is_over() {
            return None;
        }
        Some(self.end_badly(vec![reason.into()]))
    }

    /// Why the rollout is to be aborted, if a check is due and fails once too often.
    fn check(
        &mut self,
        now: Duration,
        candidate: &Sample,
        running: &Sample,
    ) -> Option<Vec<String>> {
        let analysis = self.analysis.as_ref().filter(|_| now >= self.check_at)?;
        self.check_at = now.saturating_add(analysis.interval);
        let mut reasons = None;
        match analysis.judge(candidate, running) {
            Verdict::TooFew => {}
            Verdict::Pass => {
                self.since = now;
                self.has_passed = true;
            }
            Verdict::Fail(failures) => {
                self.since = now;
                self.has_passed = false;
                self.failed_checks = self.failed_checks.saturating_add(1);
                if self.failed_checks >= analysis.threshold {
                    reasons = Some(failures.iter().map(ToString::to_string).collect());
                }
            }
        }
        reasons
    }

    /// When the step's time has passed; None if it has none or stands still.
    fn step_ends(&self) -> Option<Duration> {
        match (self.state, self.steps.get(self.step)?.pause) {
            (State::Going, Pause::For(time)) => Some(self.step_began.saturating_add(time)),
            _ => None,
        }
    }

    fn is_vouched_for(&self) -> bool {
        self.analysis.is_none() || self.has_passed
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Promoted | State::Aborted)
    }

    fn go_on(&mut self, now: Duration) -> Change {
        if self.step + 1 >= self.steps.len() {
            self.state = State::Promoted;
            return Change::Promote;
        }
        self.enter(self.step + 1, now);
        Change::Weight(self.weight())
    }

    fn enter(&mut self, step: usize, now: Duration) {
        self.step = step;
        self.step_began = now;
        self.has_passed = false;
        self.since = now;
        let interval = self.analysis.as_ref().map(|analysis| analysis.interval);
        self.check_at = now.saturating_add(interval.unwrap_or_default());
    }

    fn end_badly(&mut self, reasons: Vec<String>) -> Change {
        self.state = State::Aborted;
        self.reasons.clone_from(&reasons);
        Change::Abort(reasons)
    }
}

#[cfg(test)]
mod tests;
