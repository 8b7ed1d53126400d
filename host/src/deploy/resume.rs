//! What ran before the host was started runs again: the same revisions, and rollouts where they were.
//!
//! Until all are, what else arrives waits: what a service had is not given to another.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use skep_policy::name::ServiceName;
use skep_policy::rollout::{Change as Step, Plan, Rollout, Saved};

use super::arrive::{Candidate, Change};
use super::decide::{Decider, News};
use super::ledger::happened;
use super::promote::{self, Place};
use super::trials::UnderTrial;
use super::{DeployError, Deployer, Prepared};
use crate::deploy::compile::Artifact;
use crate::state::{Kind, Origin, StoredRevision, StoredService};
use crate::telemetry;

/// One service as it was before.
pub(super) struct Resumed {
    name: ServiceName,
    running: Result<Prepared, DeployError>,
    /// What was being rolled out, and how far it was.
    candidate: Option<(Result<Prepared, DeployError>, Option<Saved>)>,
}

/// The services that are not as they were yet, and what waits for them.
#[derive(Default)]
pub(super) struct Resuming {
    names: BTreeSet<ServiceName>,
    deferred: Vec<Change>,
}

impl Resuming {
    pub(super) fn is_busy(&self) -> bool {
        !self.names.is_empty() || !self.deferred.is_empty()
    }

    pub(super) fn awaits(&self, name: &ServiceName) -> bool {
        self.names.contains(name)
    }

    /// One that is not as it was yet, if there is any.
    pub(super) fn first(&self) -> Option<&ServiceName> {
        self.names.first()
    }

    /// Keeps the changes until all services are resumed: what they need must not be given to others first.
    pub(super) fn defer(&mut self, changes: Vec<Change>) -> Vec<Change> {
        if self.names.is_empty() {
            return changes;
        }
        self.deferred.extend(changes);
        Vec::new()
    }

    /// The changes that need not wait any more.
    pub(super) fn free(&mut self) -> Vec<Change> {
        let deferred = std::mem::take(&mut self.deferred);
        self.defer(deferred)
    }
}

impl Decider {
    /// Begins to prepare all that ran.
    pub(super) async fn resume(&mut self) {
        let ran = self.ledger.rows().filter(|row| row.current.is_some());
        let ran: Vec<StoredService> = ran.cloned().collect();
        let numbers = self.ledger.rows();
        let numbers = numbers.map(|row| (row.name.clone(), row.last_number));
        self.deployer.numbers().extend(numbers);
        if !ran.is_empty() {
            tracing::info!(services = ran.len(), "what ran before is resumed");
        }
        self.reserve(&ran).await;
        for row in ran {
            self.resuming.names.insert(row.name.clone());
            let (deployer, news) = (self.deployer.clone(), self.news.clone());
            let task = async move {
                let resumed = deployer.resume(row).await;
                // Nobody listens any more when the host stops.
                drop(news.send(News::Resumed(Box::new(resumed))));
            };
            drop(tokio::spawn(task));
        }
        // What a killed host left.
        self.littered = true;
    }

    /// Their callers are told to come back, not that there is nothing.
    async fn reserve(&self, ran: &[StoredService]) {
        let mut configs = Vec::new();
        for row in ran {
            let Some(number) = row.current else { continue };
            let stored = self.ledger.state.revision(row.name.as_str(), number).await;
            // What can't be read is reported when it is resumed.
            if let Ok(Some(stored)) = stored {
                configs.push(Arc::new(stored.config));
            }
        }
        promote::reserve(&self.deployer.core.registry, &self.desk, &configs);
    }

    /// A service is as it was, or can't be.
    pub(super) async fn resumed(&mut self, resumed: Resumed) {
        let Resumed {
            name,
            running,
            candidate,
        } = resumed;
        self.resuming.names.remove(&name);
        self.changed = true;
        let running = match running {
            Ok(running) => running,
            Err(error) => {
                return self
                    .report(name.as_ref(), &error, &Origin::host("restart"))
                    .await;
            }
        };
        let core = self.deployer.core.clone();
        let placed = Place::Running(running.revision.clone());
        let adopted = promote::plan(&core.registry, &self.desk, &[placed])
            .map(|(plan, _)| core.registry.adopt(plan));
        match adopted {
            Ok(true) => {}
            Ok(false) => return,
            Err(misfit) => {
                let origin = Origin::host("restart");
                return self
                    .report(name.as_ref(), &DeployError::from(misfit), &origin)
                    .await;
            }
        }
        core.board
            .promoted(&running.revision, running.compiled.as_deref());
        self.kept.note(&running);
        if let Some((candidate, saved)) = candidate {
            self.resume_rollout(&name, candidate, saved).await;
        }
    }

    /// Goes on with a rollout where it was; one that can't go on is rolled back.
    async fn resume_rollout(
        &mut self,
        name: &ServiceName,
        candidate: Result<Prepared, DeployError>,
        saved: Option<Saved>,
    ) {
        let given_up = match candidate {
            Ok(prepared) => {
                let plan: Plan = prepared.revision.config.rollout.plan.clone();
                let now = self.trials.now();
                let restored = saved.map(|saved| Rollout::restore(plan.clone(), saved, now));
                let rollout = match restored {
                    Some(Ok(rollout)) => rollout,
                    Some(Err(_)) | None => Rollout::begin(plan, now),
                };
                let weight = Step::Weight(rollout.weight());
                let core = self.deployer.core.clone();
                let trial = UnderTrial::new(&core, rollout, prepared);
                let origin = Origin::host("restart");
                match self.apply(name, trial, weight, &origin).await {
                    Ok(_) => return,
                    Err(error) => telemetry::chain(&error),
                }
            }
            Err(error) => telemetry::chain(&error),
        };
        let mut row = self.ledger.row(name);
        row.rollout = None;
        let Some(running) = self.running(name) else {
            return;
        };
        let origin = Origin::host("restart");
        let happening = happened(&running, Kind::RolloutAborted, &origin);
        let happening =
            happening.because(format!("the candidate could not be resumed: {given_up}"));
        tracing::warn!(
            service = name.as_str(),
            error = given_up,
            "a rollout could not be resumed and is rolled back"
        );
        self.deployer.core.board.failed(name.as_ref(), given_up);
        if let Err(error) = self
            .ledger
            .commit(vec![row], Vec::new(), vec![happening])
            .await
        {
            let error = telemetry::chain(&error);
            tracing::error!(
                service = name.as_str(),
                error,
                "the rollback could not be written down"
            );
        }
    }
}

impl Deployer {
    async fn resume(self: &Arc<Self>, row: StoredService) -> Resumed {
        let running = match row.current {
            Some(number) => self.again(&row.name, number).await,
            None => Err(DeployError::Panicked),
        };
        let candidate = match row.rollout {
            Some(rollout) if running.is_ok() => {
                let prepared = self.again(&row.name, rollout.candidate).await;
                Some((prepared, serde_json::from_str(&rollout.saved).ok()))
            }
            _ => None,
        };
        Resumed {
            name: row.name,
            running,
            candidate,
        }
    }

    /// Prepares a revision that was deployed before.
    async fn again(&self, name: &ServiceName, number: u64) -> Result<Prepared, DeployError> {
        let state = &self.core.state;
        let stored = state.revision(name.as_str(), number).await?;
        let Some(stored) = stored else {
            let lost = format!(
                "the state folder has no record of revision {number}: deploy the service again"
            );
            return Err(DeployError::Link(lost));
        };
        let origin = stored.origin.clone();
        let candidate = self.candidate(stored);
        let prepare = self.prepare(&candidate, origin, Some(number), false);
        let prepared = AssertUnwindSafe(prepare).catch_unwind().await;
        prepared.unwrap_or(Err(DeployError::Panicked))
    }

    /// A revision as something to be deployed.
    pub(super) fn candidate(&self, stored: StoredRevision) -> Candidate {
        let artifact = Artifact {
            digest: stored.digest,
            path: self.core.state.artifacts.path(&stored.digest),
        };
        Candidate {
            config: stored.config,
            artifact,
            signature: None,
        }
    }
}
