//! A candidate beside a service's running revision.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_policy::health::{self, Health};
use skep_policy::rollout::{Phase, Rollout, Split};

use super::Service;
use crate::config::service::rollout::Sticky;
use crate::replay::mirror::Mirror;
use crate::telemetry::tally::Tally;

/// A candidate that gets a part of a service's requests until it is promoted or aborted.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The same service as the candidate answers for it: chosen once for a request, which then knows nothing of it.
    pub(crate) candidate: Arc<Service>,
    pub(crate) settings: TrialSettings,
}

/// Which requests a candidate gets, and where it is seen how the two revisions do.
#[derive(Debug, Clone)]
pub(crate) struct TrialSettings {
    pub(crate) split: Split,
    pub(crate) sticky: Sticky,
    /// Which requests of the running revision the candidate answers, too.
    pub(crate) mirror: Option<Arc<Mirror>>,
    pub(crate) running: Arc<Tally>,
    pub(crate) candidate: Arc<Tally>,
    pub(crate) course: Arc<Course>,
}

/// What is known of one rollout from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Course {
    progress: Mutex<Progress>,
    health: Mutex<Condition>,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// Percent.
    pub(crate) weight: u8,
    /// From 1.
    pub(crate) step: usize,
    pub(crate) steps: usize,
    pub(crate) failed_checks: u32,
}

#[derive(Debug, Default)]
struct Condition {
    health: Health,
    /// How the last check failed, if it did.
    why: Option<String>,
}

impl Progress {
    fn of(rollout: &Rollout) -> Self {
        Self {
            phase: rollout.phase(),
            weight: rollout.weight(),
            step: rollout.step() + 1,
            steps: rollout.steps().len(),
            failed_checks: rollout.failed_checks(),
        }
    }
}

impl Course {
    pub(crate) fn of(rollout: &Rollout) -> Self {
        Self {
            progress: Mutex::new(Progress::of(rollout)),
            health: Mutex::default(),
        }
    }

    pub(crate) fn note_progress(&self, rollout: &Rollout) {
        *lock(&self.progress) = Progress::of(rollout);
    }

    pub(crate) fn progress(&self) -> Progress {
        *lock(&self.progress)
    }

    /// Takes in a check of the candidate's health; whether that changed what is thought of it.
    pub(crate) fn note_health(
        &self,
        found: Result<(), String>,
        settings: &health::Settings,
    ) -> bool {
        let mut condition = lock(&self.health);
        let changed = condition.health.record(found.is_ok(), settings);
        condition.why = found.err();
        changed
    }

    /// What the checks of a candidate that is not healthy say; None for one that is.
    pub(crate) fn ailment(&self) -> Option<String> {
        let condition = lock(&self.health);
        let why = condition.why.as_deref().unwrap_or("its checks failed");
        let is_unhealthy = !condition.health.is_healthy();
        is_unhealthy.then(|| format!("it is unhealthy: {why}"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
