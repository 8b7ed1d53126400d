//! Rollouts that are under way: each candidate gets its part of the requests, is watched, and promoted or given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_policy::name::ServiceName;
use skep_policy::rollout::{Change, Phase, Rollout, Sample, Split};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::decide::Decider;
use super::ledger::happened;
use super::promote::{self, Place};
use super::{Prepared, mirror, retire};
use crate::host::Core;
use crate::registry::{Course, Revision, TrialSettings};
use crate::replay::mirror::Mirror;
use crate::state::{Kind, Origin, StateError};
use crate::telemetry;
use crate::telemetry::tally::Tally;

/// What could not be done is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// All rollouts.
#[derive(Debug)]
pub(super) struct Trials {
    by_service: BTreeMap<ServiceName, UnderTrial>,
    start: Instant,
    /// Until when nothing is tried, since something could not be done.
    not_before: Duration,
}

impl Default for Trials {
    fn default() -> Self {
        Self {
            by_service: BTreeMap::new(),
            start: Instant::now(),
            not_before: Duration::ZERO,
        }
    }
}

/// One rollout.
#[derive(Debug, Clone)]
pub(super) struct UnderTrial {
    pub(super) rollout: Rollout,
    pub(super) prepared: Prepared,
    /// Since when the tallies count.
    since: Duration,
    running: Arc<Tally>,
    candidate: Arc<Tally>,
    course: Arc<Course>,
    mirror: Option<Arc<Mirror>>,
}

impl UnderTrial {
    pub(super) fn new(core: &Arc<Core>, rollout: Rollout, prepared: Prepared) -> Self {
        let candidate = Arc::default();
        Self {
            mirror: mirror::before(core, &prepared.revision, &candidate),
            since: rollout.since(),
            course: Arc::new(Course::of(&rollout)),
            rollout,
            prepared,
            running: Arc::default(),
            candidate,
        }
    }

    /// What requests go by.
    pub(super) fn settings(&self) -> TrialSettings {
        TrialSettings {
            split: Split {
                weight: self.rollout.weight(),
            },
            sticky: self.prepared.revision.config.rollout.sticky.clone(),
            mirror: self.mirror.clone(),
            running: self.running.clone(),
            candidate: self.candidate.clone(),
            course: self.course.clone(),
        }
    }

    /// How far it is, for people.
    pub(super) fn describe(&self) -> String {
        let (weight, step) = (self.rollout.weight(), self.rollout.step() + 1);
        let steps = self.rollout.steps().len();
        let phase = match self.rollout.phase() {
            Phase::Waiting => ", until it is promoted",
            Phase::Paused => ", paused",
            Phase::Progressing | Phase::Promoted | Phase::Aborted => "",
        };
        format!("{weight} % of the requests, step {step} of {steps}{phase}")
    }

    /// The candidate's and the running revision's.
    fn samples(&self, running: &Revision) -> (Sample, Sample) {
        let candidate = self.candidate.sample(&self.prepared.revision.usage);
        (candidate, self.running.sample(&running.usage))
    }

    /// When it is to be looked at next; None if nothing is to be done but by an operator.
    fn next_look(&self, now: Duration) -> Option<Duration> {
        match self.course.ailment() {
            Some(_) => Some(now),
            None => self.rollout.next_check(now),
        }
    }

    /// Begins to count anew if the rollout says so.
    fn look_anew(&mut self, running: &Revision) {
        if self.since != self.rollout.since() {
            self.since = self.rollout.since();
            self.candidate.begin_anew(&self.prepared.revision.usage);
            self.running.begin_anew(&running.usage);
        }
    }
}

impl Trials {
    /// Time as rollouts count it.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn put(&mut self, name: ServiceName, trial: UnderTrial) {
        trial.course.note_progress(&trial.rollout);
        self.by_service.insert(name, trial);
    }

    pub(super) fn remove(&mut self, name: &ServiceName) -> Option<UnderTrial> {
        self.by_service.remove(name)
    }

    pub(super) fn get(&self, name: &ServiceName) -> Option<&UnderTrial> {
        self.by_service.get(name)
    }

    /// Ends when a rollout is to be looked at, at the latest when the `alarm` says that a candidate is not healthy; never,
    /// if there is none.
    pub(super) async fn due(&self, alarm: &Notify) {
        let now = self.now();
        let trials = self.by_service.values();
        let next = trials.filter_map(|trial| trial.next_look(now)).min();
        let in_time = async {
            match next {
                Some(at) => sleep(at.max(self.not_before).saturating_sub(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = in_time => {}
            () = alarm.notified() => {}
        }
    }
}

impl Decider {
    /// Looks at the rollouts whose time has come.
    pub(super) async fn check_trials(&mut self) {
        let now = self.trials.now();
        let due = |trial: &UnderTrial| trial.next_look(now).is_some_and(|at| at <= now);
        let names = self.trials.by_service.iter();
        let names: Vec<ServiceName> = names
            .filter(|(_, trial)| due(trial))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let Some(mut trial) = self.trials.get(&name).cloned() else {
                continue;
            };
            let Some(running) = self.running(&name) else {
                continue;
            };
            let change = match trial.course.ailment() {
                Some(why) => trial.rollout.abort(why),
                None => {
                    let (candidate, beside) = trial.samples(&running);
                    trial.rollout.tick(now, &candidate, &beside)
                }
            };
            let origin = Origin::host("its rollout");
            let done = match change {
                Some(change) => self.apply(&name, trial, change, &origin).await.map(drop),
                None => {
                    trial.look_anew(&running);
                    self.trials.put(name.clone(), trial);
                    Ok(())
                }
            };
            if let Err(error) = done {
                let error = telemetry::chain(&error);
                tracing::error!(
                    service = name.as_str(),
                    error,
                    "the rollout stays where it is"
                );
            }
            // Whatever could not be done is tried again, and not at once.
            if self.trials.get(&name).is_some_and(due) {
                self.trials.not_before = now + RETRY;
            }
        }
    }

    /// What runs is wanted, not what is on trial in its place.
    pub(super) async fn wanted_no_more(&mut self, name: &ServiceName, origin: &Origin) {
        let Some(mut trial) = self.trials.get(name).cloned() else {
            return;
        };
        let Some(change) = trial.rollout.abort("what runs was deployed again") else {
            return;
        };
        if let Err(error) = self.apply(name, trial, change, origin).await {
            let error = telemetry::chain(&error);
            tracing::error!(service = name.as_str(), error, "the rollout goes on");
        }
    }

    /// The revision that a service's candidate is compared with.
    pub(super) fn running(&self, name: &ServiceName) -> Option<Arc<Revision>> {
        let snapshot = self.deployer.core.registry.snapshot();
        snapshot.services.get(name)?.revision.clone()
    }

    /// Makes a change of a rollout: written down, then published. What was changed in the end: a candidate that does not fit
    /// any more is taken out.
    pub(super) async fn apply(
        &mut self,
        name: &ServiceName,
        trial: UnderTrial,
        change: Change,
        origin: &Origin,
    ) -> Result<Change, StateError> {
        let revision = trial.prepared.revision.clone();
        let mut row = self.ledger.row(name);
        let (place, happening) = match &change {
            Change::Weight(_) => {
                row.rollout = Some(trial.stored());
                let happening = happened(&revision, Kind::RolloutStep, origin);
                let place = Place::Trial(revision.clone(), trial.settings());
                (place, happening.because(trial.describe()))
            }
            Change::Promote => {
                row.rollout = None;
                row.current = Some(revision.number);
                let happening = happened(&revision, Kind::Promoted, origin);
                (Place::Running(revision.clone()), happening)
            }
            Change::Abort(reasons) => {
                row.rollout = None;
                let happening = happened(&revision, Kind::RolloutAborted, origin);
                (
                    Place::NoTrial(name.clone()),
                    happening.because(reasons.join("; ")),
                )
            }
        };
        let core = self.deployer.core.clone();
        let (plan, replaced) = match promote::plan(&core.registry, &self.desk, &[place]) {
            Ok(planned) => planned,
            Err(misfit) if !matches!(change, Change::Abort(_)) => {
                // What it was to be promoted to does not fit any more.
                let reasons = vec![telemetry::chain(&misfit)];
                return Box::pin(self.apply(name, trial, Change::Abort(reasons), origin)).await;
            }
            Err(misfit) => {
                tracing::error!(service = name.as_str(), error = %misfit, "a candidate could not be taken out");
                return Ok(change);
            }
        };
        self.ledger
            .commit(vec![row], Vec::new(), vec![happening])
            .await?;
        if !core.registry.adopt(plan) {
            tracing::error!(
                service = name.as_str(),
                "a snapshot was published by somebody else"
            );
            return Ok(change);
        }
        self.changed = true;
        self.applied(name, trial, &change);
        for revision in replaced {
            retire::retire(&core, revision);
        }
        Ok(change)
    }

    fn applied(&mut self, name: &ServiceName, mut trial: UnderTrial, change: &Change) {
        let revision = trial.prepared.revision.clone();
        let (service, number) = (name.as_str(), revision.number);
        let core = self.deployer.core.clone();
        let board = &core.board;
        match change {
            Change::Weight(weight) => {
                if let Some(running) = self.running(name) {
                    trial.look_anew(&running);
                }
                tracing::info!(service, revision = number, weight, "rollout goes on");
                self.trials.put(name.clone(), trial);
            }
            Change::Promote => {
                self.trials.remove(name);
                board.promoted(&revision, trial.prepared.compiled.as_deref());
                self.kept.note(&trial.prepared);
            }
            Change::Abort(reasons) => {
                self.trials.remove(name);
                let reasons = reasons.join("; ");
                board.failed(
                    service,
                    format!("revision {number} was rolled back: {reasons}"),
                );
                tracing::warn!(service, revision = number, reasons, "rollout aborted");
            }
        }
    }
}
