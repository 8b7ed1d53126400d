//! What is ready takes its place: checked against the others, written down, published by one pointer store.

use std::collections::BTreeSet;
use std::sync::Arc;

use skep_policy::fit::Misfit;
use skep_policy::name::ServiceName;
use skep_policy::rollout::{Rollout, Strategy};

use super::breaks;
use super::decide::Decider;
use super::desk::{Asked, Manner};
use super::ledger::{fingerprint, happened, record};
use super::order::{Outcome, Standing};
use super::promote::{self, Place};
use super::trials::UnderTrial;
use super::{DeployError, Prepared, retire};
use crate::registry::Revision;
use crate::state::{Happening, Kind, StateError, StoredRevision, StoredRollout, StoredService};

/// One candidate's way into its place.
struct Move<'a> {
    asked: &'a Asked,
    prepared: &'a Prepared,
    /// None if it takes the running revision's place at once.
    trial: Option<UnderTrial>,
}

/// What is written down of moves.
type Written = (
    Vec<StoredService>,
    Vec<(ServiceName, StoredRevision)>,
    Vec<Happening>,
);

impl Decider {
    /// Publishes all of `ready`: each in its service's place, or beside what runs for a while. What breaks others, or
    /// can't be written down, is refused.
    ///
    /// # Errors
    /// When they don't fit beside the other services: nothing is changed then.
    pub(super) async fn swap(&mut self, ready: &[(Asked, Prepared)]) -> Result<(), Misfit> {
        let broken = self.broken_by(ready)?;
        if !broken.is_empty() {
            for (name, sentences) in broken {
                if let Some(asked) = self.desk.finish(&name) {
                    self.refuse(asked, &DeployError::Breaks(sentences)).await;
                }
            }
            return Ok(());
        }
        let moves: Vec<Move<'_>> = ready
            .iter()
            .map(|(asked, one)| self.move_of(asked, one))
            .collect();
        let core = self.deployer.core.clone();
        let places: Vec<Place> = moves.iter().map(Move::place).collect();
        let (plan, replaced) = promote::plan(&core.registry, &self.desk, &places)?;
        let (rows, revisions, happenings) = self.write_down(&moves);
        if let Err(error) = self.ledger.commit(rows, revisions, happenings).await {
            self.unwritten(ready, error).await;
            return Ok(());
        }
        // Nobody else publishes.
        if !core.registry.adopt(plan) {
            tracing::error!(
                "a snapshot was published by somebody else; what was written down is tried again at once"
            );
            return Box::pin(self.swap(ready)).await;
        }
        self.changed = true;
        for one in moves {
            self.moved(one);
        }
        for revision in replaced {
            retire::retire(&core, revision);
        }
        Ok(())
    }

    fn move_of<'a>(&self, asked: &'a Asked, prepared: &'a Prepared) -> Move<'a> {
        let plan = &prepared.revision.config.rollout.plan;
        let is_alone = asked
            .order()
            .is_none_or(|order| self.orders.is_about_one(order));
        let is_back = matches!(asked.manner, Manner::RolledBack(..));
        let runs = promote::has_revision(&self.deployer.core.registry, asked.name());
        let is_tried = plan.strategy != Strategy::Immediate && runs && is_alone && !is_back;
        let trial = is_tried.then(|| {
            let rollout = Rollout::begin(plan.clone(), self.trials.now());
            UnderTrial::new(&self.deployer.core, rollout, prepared.clone())
        });
        Move {
            asked,
            prepared,
            trial,
        }
    }

    /// Which of `ready` would keep services from calling each other that can now, and how.
    fn broken_by(
        &self,
        ready: &[(Asked, Prepared)],
    ) -> Result<Vec<(ServiceName, Vec<String>)>, Misfit> {
        let registry = &self.deployer.core.registry;
        let is_new = |asked: &Asked| !promote::has_revision(registry, asked.name());
        if ready.iter().all(|(asked, _)| is_new(asked)) {
            return Ok(Vec::new());
        }
        let running = |one: &Prepared| Place::Running(one.revision.clone());
        let all: Vec<Place> = ready.iter().map(|(_, one)| running(one)).collect();
        let changed: BTreeSet<_> = ready
            .iter()
            .map(|(asked, _)| asked.name().clone())
            .collect();
        let before = registry.snapshot();
        let (plan, _) = promote::plan(registry, &self.desk, &all)?;
        if breaks::of(&before, plan.snapshot(), &changed).is_empty() {
            return Ok(Vec::new());
        }
        let mut broken = Vec::new();
        for (asked, one) in ready {
            let is_allowed = asked.is_forced() || one.revision.config.rollout.allow_breaking;
            if is_allowed || is_new(asked) {
                continue;
            }
            let (alone, _) = promote::plan(registry, &self.desk, &[running(one)])?;
            let sentences = breaks::of(&before, alone.snapshot(), &changed);
            if !sentences.is_empty() {
                broken.push((asked.name().clone(), sentences));
            }
        }
        Ok(broken)
    }

    fn write_down(&self, moves: &[Move<'_>]) -> Written {
        let mut written: Written = Default::default();
        for one in moves {
            let revision = &one.prepared.revision;
            let mut row = self.ledger.row(one.asked.name());
            row.last_number = row.last_number.max(revision.number);
            if matches!(one.asked.manner, Manner::Files) {
                row.files = Some(fingerprint(&one.asked.candidate));
            }
            row.rollout = one.trial.as_ref().map(|trial| trial.stored());
            if one.trial.is_none() {
                row.current = Some(revision.number);
            }
            written.0.push(row);
            // Also of one that is back: its record may have been pruned since it was found.
            let digest = one.asked.candidate.artifact.digest;
            written.1.push(record(revision, digest));
            let happening = happened(revision, one.kind(), &one.asked.origin);
            written.2.push(match &one.trial {
                Some(trial) => happening.because(trial.describe()),
                None => happening,
            });
        }
        written
    }

    /// What ran before goes on running.
    async fn unwritten(&mut self, ready: &[(Asked, Prepared)], error: StateError) {
        let error = Arc::new(error);
        for (asked, _) in ready {
            // What is linked already never was on the desk.
            self.desk.finish(asked.name());
            let error = DeployError::Unwritten(error.clone());
            self.refuse(asked.clone(), &error).await;
        }
    }

    fn moved(&mut self, one: Move<'_>) {
        let Prepared { revision, compiled } = one.prepared;
        let name = one.asked.name();
        self.desk.finish(name);
        let board = &self.deployer.core.board;
        let outcome = one.outcome();
        match one.trial {
            Some(trial) => {
                board.confirmed_quietly(name.as_ref());
                let (number, what) = (revision.number, trial.describe());
                tracing::info!(
                    service = name.as_str(),
                    revision = number,
                    digest = revision.digest,
                    what,
                    "rollout begun"
                );
                self.trials.put(name.clone(), trial);
            }
            None => {
                board.promoted(revision, compiled.as_deref());
                self.trials.remove(name);
                self.kept.note(one.prepared);
            }
        }
        if let Some(order) = one.asked.order() {
            let standing = self.standing(name, Some(revision), outcome);
            self.orders.done(order, standing);
        }
    }

    pub(super) fn standing(
        &self,
        name: &ServiceName,
        revision: Option<&Arc<Revision>>,
        outcome: Outcome,
    ) -> Standing {
        Standing {
            service: name.to_string(),
            outcome,
            revision: revision.map(|revision| revision.number),
            digest: revision.map(|revision| revision.digest.clone()),
            generation: self.ledger.row(name).generation,
        }
    }
}

impl Move<'_> {
    fn place(&self) -> Place {
        let revision = self.prepared.revision.clone();
        match &self.trial {
            Some(trial) => Place::Trial(revision, trial.settings()),
            None => Place::Running(revision),
        }
    }

    fn kind(&self) -> Kind {
        match (&self.trial, &self.asked.manner) {
            (Some(_), _) => Kind::RolloutBegun,
            (None, Manner::RolledBack(..)) => Kind::RolledBack,
            (None, _) => Kind::Promoted,
        }
    }

    fn outcome(&self) -> Outcome {
        match (&self.trial, &self.asked.manner) {
            (Some(_), _) => Outcome::RolloutBegun,
            (None, Manner::RolledBack(..)) => Outcome::RolledBack,
            (None, _) => Outcome::Promoted,
        }
    }
}

impl UnderTrial {
    /// As the database keeps it.
    pub(super) fn stored(&self) -> StoredRollout {
        StoredRollout {
            candidate: self.prepared.revision.number,
            // Numbers and names: this can't fail. If it did, the rollout would begin anew after a restart.
            saved: serde_json::to_string(&self.rollout.save()).unwrap_or_default(),
        }
    }
}
