//! What the API says of a rollout that is under way.

use serde::Serialize;
use skep_policy::rollout::{Phase, Sample};

use super::services::millis;
use crate::registry::{Revision, Service};
use crate::telemetry::tally::Tally;

/// One rollout.
#[derive(Debug, Serialize)]
pub(super) struct Rollout {
    /// The candidate's number.
    revision: u64,
    digest: String,
    phase: Phase,
    /// Percent of the requests that the candidate gets.
    weight: u8,
    /// From 1.
    step: usize,
    steps: usize,
    failed_checks: u32,
    candidate: Figures,
    running: Figures,
    /// None if nothing is mirrored.
    mirror: Option<Mirrored>,
}

/// Requests of the running revision that the candidate answered, too.
#[derive(Debug, Serialize)]
struct Mirrored {
    /// Since the last check that could say something.
    requests: u64,
    /// Those of them that it answered otherwise.
    differing: u64,
    /// Those that it was not asked, since it had enough to do or they were too large, of all.
    left_out: u64,
}

/// What was seen of a revision since the last check that could say something.
#[derive(Debug, Serialize)]
struct Figures {
    requests: u64,
    errors: u64,
    faults: u64,
    p99_ms: Option<f64>,
}

impl Rollout {
    /// None if there is none.
    pub(super) fn of(service: &Service) -> Option<Self> {
        let trial = service.trial.as_ref()?;
        let (running, candidate) = (&service.revision, &trial.candidate.revision);
        let (running, candidate) = (running.as_ref()?, candidate.as_ref()?);
        let (settings, progress) = (&trial.settings, trial.settings.course.progress());
        Some(Self {
            revision: candidate.number,
            digest: candidate.digest.clone(),
            phase: progress.phase,
            weight: progress.weight,
            step: progress.step,
            steps: progress.steps,
            failed_checks: progress.failed_checks,
            candidate: Figures::of(&settings.candidate, candidate),
            running: Figures::of(&settings.running, running),
            mirror: settings.mirror.as_ref().map(|mirror| {
                let sample = settings.candidate.sample(&candidate.usage);
                Mirrored {
                    requests: sample.mirrored,
                    differing: sample.differing,
                    left_out: mirror.left_out(),
                }
            }),
        })
    }
}

impl Figures {
    fn of(tally: &Tally, revision: &Revision) -> Self {
        let Sample {
            requests,
            errors,
            faults,
            p99,
            ..
        } = tally.sample(&revision.usage);
        Self {
            requests,
            errors,
            faults,
            p99_ms: p99.map(millis),
        }
    }
}
