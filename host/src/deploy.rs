//! A deployment's whole way: arrive → compile → health → promote → retire.
//!
//! Everything is prepared before anything is changed; then one pointer is swapped; then the old revision is stopped. A
//! failure on the way leaves what runs untouched and is reported on the board.
//!
//! One task decides for all deployments, what goes on meanwhile is prepared in others. Whatever is ready at a moment is
//! published in one snapshot; a candidate that fits only beside another's newest one waits for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use skep_policy::fit::Misfit;
use skep_policy::name::ServiceName;
use tokio::sync::{mpsc, watch};

use self::arrive::{Batch, Candidate, Change};
use self::compile::{CompileError, Compiled, Compiler};
use self::desk::{Desk, Turn};
use self::lacks::Lacks;
use crate::fault::Fault;
use crate::host::Core;
use crate::registry::Revision;
use crate::telemetry;

pub mod arrive;
pub mod board;
pub mod compile;
mod desk;
mod lacks;
pub(crate) mod link;
mod promote;
mod retire;

/// Why a candidate did not become the running revision.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// It can't be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It does not fit what the host offers.
    #[error("{0}")]
    Link(String),
    /// It could not be started.
    #[error("no instance could be started: {0}")]
    Health(#[source] Fault),
    /// Its routes or limits don't fit beside the other services.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The host is at fault.
    #[error("the host failed at deploying it, which is a bug; the log has more")]
    Panicked,
}

/// Carries deployments through, each service on its own.
pub struct Deployer {
    core: Arc<Core>,
    compiler: Compiler,
    numbers: Mutex<HashMap<ServiceName, u64>>,
}

/// A candidate that has become a revision, and may take its service's place.
#[derive(Debug, Clone)]
struct Prepared {
    revision: Arc<Revision>,
    compiled: Arc<Compiled>,
}

/// What came of preparing a candidate.
struct Outcome {
    name: ServiceName,
    turn: Turn,
    result: Result<Prepared, DeployError>,
}

/// The task that decides: what it works on, and where outcomes are sent to.
struct Decider {
    deployer: Arc<Deployer>,
    desk: Desk,
    outcomes: mpsc::UnboundedSender<Outcome>,
    /// Whether what was set aside may fit now.
    changed: bool,
}

impl Deployer {
    /// A deployer for `core`'s registry.
    pub fn new(core: Arc<Core>, compiler: Compiler) -> Arc<Self> {
        Arc::new(Self {
            core,
            compiler,
            numbers: Mutex::default(),
        })
    }

    /// Follows the changes that arrive until there are no more to come. `first_scan` turns true when everything that
    /// was there at the start has been deployed or refused.
    pub async fn run(
        self: Arc<Self>,
        mut batches: mpsc::Receiver<Batch>,
        first_scan: watch::Sender<bool>,
    ) {
        let (sender, mut outcomes) = mpsc::unbounded_channel();
        let mut decider = Decider {
            deployer: self,
            desk: Desk::default(),
            outcomes: sender,
            changed: false,
        };
        let mut lacks = Lacks::default();
        // The newest deployment of those that were there at the start.
        let mut last_of_start = None;
        loop {
            tokio::select! {
                batch = batches.recv() => {
                    let Some(Batch { changes, settled }) = batch else { return };
                    decider.take(changes);
                    if settled && last_of_start.is_none() {
                        last_of_start = Some(decider.desk.last_turn());
                    }
                }
                Some(outcome) = outcomes.recv() => {
                    decider.note(outcome);
                    while let Ok(outcome) = outcomes.try_recv() {
                        decider.note(outcome);
                    }
                }
            }
            decider.publish();
            decider.retry();
            if !decider.desk.is_busy() {
                lacks.note(&decider.deployer.core.registry.snapshot());
            }
            if last_of_start.is_some_and(|turn| !decider.desk.works_on_any_up_to(turn)) {
                first_scan.send_if_modified(|done| !std::mem::replace(done, true));
            }
        }
    }

    /// The script, up to the swap. Cancelled at any await, it leaves what runs untouched.
    async fn prepare(&self, candidate: &Candidate) -> Result<Prepared, DeployError> {
        let config = Arc::new(candidate.config.clone());
        let compiled = self.compiler.compile(&candidate.artifact).await?;
        let (program, claims) = link::link(&self.core.engines, &compiled, &config)?;
        let number = self.next_number(&config.name);
        let digest = compiled.digest.to_string();
        let linked = (program, compiled.contracts.clone());
        let revision = Arc::new(Revision::new(number, digest, config, linked, claims));
        crate::request::run::probe(&self.core, revision.clone())
            .await
            .map_err(DeployError::Health)?;
        compiled.unload_pages();
        Ok(Prepared {
            revision,
            compiled: Arc::new(compiled),
        })
    }

    fn next_number(&self, name: &ServiceName) -> u64 {
        let mut numbers: MutexGuard<'_, _> =
            self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.entry(name.clone()).or_default();
        *number += 1;
        *number
    }

    fn refuse(&self, name: &str, error: &(dyn std::error::Error + 'static)) {
        let error = telemetry::chain(error);
        self.core.board.failed(name, error.clone());
        tracing::error!(service = name, error, "deployment refused");
    }

    /// The script, after the swap.
    fn promoted(self: &Arc<Self>, prepared: &[Prepared], replaced: Vec<Arc<Revision>>) {
        for Prepared { revision, compiled } in prepared {
            self.core.board.promoted(revision, compiled);
        }
        for revision in replaced {
            retire::retire(&self.core, revision);
        }
    }

    fn remove(&self, names: &[&str]) {
        for name in names {
            self.core.board.removed(name);
        }
        match promote::remove(&self.core.registry, names) {
            Ok(removed) => {
                for revision in removed {
                    let service = revision.config.name.as_ref();
                    let number = revision.number;
                    tracing::info!(service, revision = number, "service removed");
                    retire::retire(&self.core, revision);
                }
            }
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::error!(services = ?names, error, "services could not be removed");
            }
        }
    }
}

impl Decider {
    /// Removals make room, so they come first.
    fn take(&mut self, changes: Vec<Change>) {
        let mut candidates = Vec::new();
        let mut gone = Vec::new();
        for change in changes {
            match change {
                Change::Upsert(candidate) => candidates.push(*candidate),
                Change::Remove(name) => {
                    self.clear(&name);
                    gone.push(name);
                }
                Change::Broken(name, error) => {
                    self.clear(&name);
                    self.deployer.refuse(&name, &*error);
                }
            }
        }
        if !gone.is_empty() {
            let names: Vec<&str> = gone.iter().map(String::as_str).collect();
            self.deployer.remove(&names);
        }
        let core = self.deployer.core.clone();
        candidates.retain(|candidate| {
            if self.desk.works_on(candidate) {
                return false;
            }
            let name = candidate.config.name.as_ref();
            self.clear(name);
            let runs = promote::runs(&core.registry, candidate);
            if runs {
                core.board.confirmed(name);
            }
            !runs
        });
        let (fitting, misfits) = self.sort_out(candidates);
        for (candidate, misfit) in misfits {
            let name = candidate.config.name.as_ref();
            core.board.compiling(name, &candidate);
            self.deployer.refuse(name, &misfit);
            self.desk.set_aside(candidate);
        }
        self.begin(fitting);
    }

    /// What is under way for a service counts no more.
    fn clear(&mut self, name: &str) {
        self.desk.clear(name);
        self.changed = true;
    }

    /// Which candidates fit beside what stands when all that is under way has been published. Found out before anything
    /// is compiled, so that of two that claim the same route one has it, however long each takes.
    fn sort_out(&self, candidates: Vec<Candidate>) -> (Vec<Candidate>, Vec<(Candidate, Misfit)>) {
        let registry = &self.deployer.core.registry;
        let snapshot = registry.snapshot();
        let mut stands = promote::stands(&snapshot, &self.desk);
        self.desk.overlay(&mut stands);
        let configs = candidates.iter().map(|candidate| &candidate.config);
        let mut misfits = promote::misfits(registry, &stands, configs);
        let mut sorted = (Vec::new(), Vec::new());
        for candidate in candidates {
            match misfits.remove(&candidate.config.name) {
                None => sorted.0.push(candidate),
                Some(misfit) => sorted.1.push((candidate, misfit)),
            }
        }
        sorted
    }

    fn begin(&mut self, candidates: Vec<Candidate>) {
        let core = &self.deployer.core;
        let configs = candidates.iter();
        let configs: Vec<_> = configs
            .map(|candidate| Arc::new(candidate.config.clone()))
            .collect();
        promote::reserve(&core.registry, &self.desk, &configs);
        for candidate in candidates {
            let name = candidate.config.name.clone();
            core.board.compiling(name.as_ref(), &candidate);
            let turn = self.desk.turn();
            let (deployer, outcomes) = (self.deployer.clone(), self.outcomes.clone());
            let of_task = candidate.clone();
            let task = tokio::spawn(async move {
                let result = AssertUnwindSafe(deployer.prepare(&of_task))
                    .catch_unwind()
                    .await
                    .unwrap_or(Err(DeployError::Panicked));
                // Nobody listens any more when the host stops.
                drop(outcomes.send(Outcome { name, turn, result }));
            });
            self.desk.put(candidate, turn, task.abort_handle());
        }
    }

    fn note(&mut self, Outcome { name, turn, result }: Outcome) {
        if !self.desk.is_current(&name, turn) {
            return;
        }
        match result {
            Ok(prepared) => self.desk.prepared(&name, prepared),
            Err(error) => {
                self.desk.finish(&name);
                self.changed = true;
                self.deployer.refuse(name.as_ref(), &error);
            }
        }
    }

    /// Publishes all that is ready in one snapshot. If that can't be, as much of it as fits; the rest waits for
    /// candidates that are under way, or is refused.
    fn publish(&mut self) {
        loop {
            let ready = self.desk.ready();
            if ready.is_empty() || self.swap(&ready).is_ok() {
                return;
            }
            let registry = &self.deployer.core.registry;
            let snapshot = registry.snapshot();
            let stands = promote::stands(&snapshot, &self.desk);
            let configs = ready.iter().map(|prepared| &*prepared.revision.config);
            let misfits = promote::misfits(registry, &stands, configs);
            let fits = |prepared: &Prepared| !misfits.contains_key(&prepared.revision.config.name);
            let fitting: Vec<Prepared> = ready.iter().filter(|one| fits(one)).cloned().collect();
            let refused = if fitting.is_empty() {
                self.hopeless(misfits)
            } else if let Err(misfit) = self.swap(&fitting) {
                // What each takes of the pool is known only now: who takes most goes last.
                let largest = fitting.iter().max_by_key(|one| one.revision.claims);
                let name = largest.map(|one| one.revision.config.name.clone());
                name.map(|name| (name, misfit)).into_iter().collect()
            } else {
                continue;
            };
            if refused.is_empty() {
                return;
            }
            for (name, misfit) in refused {
                self.deployer.refuse(name.as_ref(), &misfit);
                // One that the pool has no room for gives nothing back that would make room for it.
                self.changed |= matches!(misfit, Misfit::Route(_));
                if let Some(candidate) = self.desk.finish(&name) {
                    self.desk.set_aside(candidate);
                }
            }
        }
    }

    fn swap(&mut self, prepared: &[Prepared]) -> Result<(), Misfit> {
        let revisions = prepared.iter().map(|prepared| prepared.revision.clone());
        let revisions: Vec<_> = revisions.collect();
        let registry = &self.deployer.core.registry;
        let replaced = promote::publish(registry, &self.desk, &revisions)?;
        self.changed = true;
        for revision in &revisions {
            self.desk.finish(&revision.config.name);
        }
        self.deployer.promoted(prepared, replaced);
        Ok(())
    }

    /// Those that no candidate under way can make room for.
    fn hopeless(&self, misfits: BTreeMap<ServiceName, Misfit>) -> Vec<(ServiceName, Misfit)> {
        let waits = |name: &ServiceName| {
            // A candidate may wait for one that waits itself; in a circle all would.
            let mut seen = BTreeSet::from([name]);
            let mut next = misfits.get(name).and_then(|misfit| misfit.blocker(name));
            while let Some(blocker) = next.filter(|blocker| seen.insert(blocker)) {
                if self.desk.prepares(blocker) {
                    return true;
                }
                next = misfits
                    .get(blocker)
                    .and_then(|misfit| misfit.blocker(blocker));
            }
            false
        };
        let misfits = misfits.iter().filter(|(name, _)| !waits(name));
        misfits
            .map(|(name, misfit)| (name.clone(), misfit.clone()))
            .collect()
    }

    /// Begins again with what other services stood in the way of and no longer do.
    fn retry(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let aside = self.desk.take_aside();
        if aside.is_empty() {
            return;
        }
        let (fitting, misfits) = self.sort_out(aside);
        for (candidate, misfit) in misfits {
            let name = candidate.config.name.as_ref();
            let board = &self.deployer.core.board;
            board.still_refused(name, telemetry::chain(&misfit));
            self.desk.set_aside(candidate);
        }
        self.begin(fitting);
    }
}
