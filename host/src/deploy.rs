//! A deployment's whole way: arrive → compile → health → promote → retire.
//!
//! Everything is prepared before anything is changed; then it is written down; then one pointer is swapped; then the old
//! revision is stopped. A failure on the way leaves what runs untouched and is reported on the board and to whoever asked.
//!
//! One task decides for all deployments, what goes on meanwhile is prepared in others. Whatever is ready at a moment is
//! published in one snapshot; a candidate that fits only beside another's newest one waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_policy::fit::Misfit;
use skep_policy::name::ServiceName;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use self::arrive::{Batch, Candidate};
use self::compile::{CompileError, Compiled, Compiler, Contracts, Digest};
use self::decide::Decider;
use self::lacks::Lacks;
use self::order::Order;
use crate::config::ConfigError;
use crate::config::trust::Distrust;
use crate::fault::Fault;
use crate::host::Core;
use crate::registry::{Identity, Revision};
use crate::request::backend::Backend;
use crate::request::edge::Edge;
use crate::state::{ArtifactError, Happening, Kind, Origin, StateError};
use crate::telemetry;

pub mod arrive;
pub mod board;
mod breaks;
pub mod compile;
mod decide;
mod desk;
mod kept;
mod lacks;
mod ledger;
pub(crate) mod link;
mod mirror;
mod operate;
pub mod order;
mod promote;
mod replay;
mod resume;
mod retire;
mod swap;
mod trials;

/// Why a candidate did not become the running revision.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// It can't be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It can't be kept.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Nobody vouches for it.
    #[error("the component is not trusted: {0}")]
    Untrusted(#[from] Distrust),
    /// It does not fit what the host offers.
    #[error("{0}")]
    Link(String),
    /// What is no component can't be asked.
    #[error("what answers can't be asked")]
    Target(#[from] ConfigError),
    /// It could not be started.
    #[error("no instance could be started: {0}")]
    Health(#[source] Fault),
    /// Its routes or limits don't fit beside the other services.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// Others could not call it any more.
    #[error(
        "it would break {}: deploy them together with it, or force it (`--force`, or `allow_breaking = true` under \
         [rollout])", .0.join("; ")
    )]
    Breaks(Vec<String>),
    /// It answers requests otherwise than what runs.
    #[error(
        "it answers {differing} of {requests} recorded requests otherwise than the running revision: see \
         `skep diff {service}`; if that is as it should be, force it (`--force`), or set `block = false` under [record]"
    )]
    Differs {
        /// The service.
        service: ServiceName,
        /// Requests that were answered otherwise.
        differing: usize,
        /// Requests that were answered again.
        requests: usize,
    },
    /// There are requests that it could have answered, and none was in time.
    #[error(
        "none of the {recorded} recorded requests could be compared within {}s: try again, give it shorter [limits] timeout, \
         or force it (`--force`)", replay::TIME_MAX.as_secs()
    )]
    Uncompared {
        /// Requests that are recorded.
        recorded: usize,
    },
    /// Another service of the same deployment was refused.
    #[error("{0}, which was to be deployed with it, was refused")]
    Companion(ServiceName),
    /// The state folder fails.
    #[error(transparent)]
    State(#[from] StateError),
    /// It can't be written down that it is deployed, with whatever else was to be.
    #[error("it can't be written down that it is deployed")]
    Unwritten(#[source] Arc<StateError>),
    /// The host is at fault.
    #[error("the host failed at deploying it, which is a bug; the log has more")]
    Panicked,
}

impl DeployError {
    /// Whether the candidate may be as good as any.
    fn is_by_host(&self) -> bool {
        match self {
            Self::Compile(error) => error.is_by_host(),
            Self::State(_)
            | Self::Unwritten(_)
            | Self::Panicked
            | Self::Artifact(ArtifactError::Unwritable { .. }) => true,
            _ => false,
        }
    }
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
    /// None of what is no component.
    compiled: Option<Arc<Compiled>>,
}

/// What a candidate is made into.
struct Made {
    backend: Backend,
    contracts: Contracts,
    claims: u32,
    compiled: Option<Arc<Compiled>>,
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

    /// Resumes what ran before, and follows what arrives until there is no more to come. `first_scan` turns true when
    /// everything that was there at the start has been deployed or refused.
    ///
    /// # Errors
    /// When it can't be read what ran before.
    pub async fn run(
        self: Arc<Self>,
        mut batches: mpsc::Receiver<Batch>,
        mut orders: mpsc::Receiver<Order>,
        first_scan: watch::Sender<bool>,
    ) -> Result<(), StateError> {
        let collected = self.core.state.collected();
        let _images = AbortOnDropHandle::new(tokio::spawn(self.clone().collect_images(collected)));
        let (mut decider, mut news) = Decider::new(self).await?;
        decider.resume().await;
        decider.tidy();
        let mut lacks = Lacks::default();
        let mut is_all_there = false;
        // The newest deployment of those that were there at the start.
        let mut last_of_start = None;
        loop {
            tokio::select! {
                batch = batches.recv() => {
                    let Some(Batch { changes, settled }) = batch else { return Ok(()) };
                    decider.take(changes).await;
                    is_all_there |= settled;
                }
                Some(order) = orders.recv() => decider.carry_out(order).await,
                Some(first) = news.recv() => {
                    let mut next = Some(first);
                    while let Some(one) = next {
                        decider.note(one).await;
                        next = news.try_recv().ok();
                    }
                }
                () = decider.trials.due(&decider.deployer.core.alarm) => decider.check_trials().await,
            }
            decider.publish().await;
            decider.retry().await;
            decider.tidy();
            // What waits for a service to be resumed has no turn yet.
            if is_all_there && last_of_start.is_none() && !decider.resuming.is_busy() {
                last_of_start = Some(decider.last_turn());
            }
            if !decider.is_busy() {
                lacks.note(&decider.deployer.core.registry.snapshot());
            }
            if last_of_start.is_some_and(|turn| !decider.works_on_any_up_to(turn)) {
                first_scan.send_if_modified(|done| !std::mem::replace(done, true));
            }
        }
    }

    /// Deletes what was compiled of artifacts that are collected.
    async fn collect_images(self: Arc<Self>, mut collected: Receiver<Digest>) {
        loop {
            let gone = match collected.recv().await {
                Ok(gone) => gone,
                // What is missed is found at the next start.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            if let Err(error) = self.compiler.collect(gone).await {
                let error = telemetry::chain(&error);
                tracing::warn!(
                    error,
                    "a compiled component that nobody needs could not be deleted"
                );
            }
        }
    }

    /// The script, up to the swap. Cancelled at any await, it leaves what runs untouched. The revision gets `number`, or
    /// else the next.
    async fn prepare(
        &self,
        candidate: &Candidate,
        origin: Origin,
        number: Option<u64>,
        is_forced: bool,
    ) -> Result<Prepared, DeployError> {
        let config = Arc::new(candidate.config.clone());
        let made = self.make(candidate).await?;
        let identity = Identity {
            number: number.unwrap_or_else(|| self.next_number(&config.name)),
            digest: candidate.artifact.digest.to_string(),
            config: config.clone(),
            origin,
            edges: Edge::of_routes(&config, &self.core),
            lines: self.core.lines.clone(),
        };
        let linked = (made.backend, made.contracts);
        let revision = Arc::new(Revision::new(identity, linked, made.claims));
        if config.has_instances() {
            self.stage(&config.name, "starting an instance");
        }
        crate::request::run::probe(&self.core, revision.clone())
            .await
            .map_err(DeployError::Health)?;
        // One that has answered requests before need not prove anything, and may be wanted back in a hurry.
        if number.is_none() {
            self.replay(&revision, is_forced).await?;
        }
        // What takes a running revision's place is needed at once.
        let compiled = made.compiled;
        if !promote::has_revision(&self.core.registry, &config.name) {
            compiled.iter().for_each(|compiled| compiled.unload_pages());
        }
        Ok(Prepared { revision, compiled })
    }

    /// What is to answer: compiled, linked and kept, if it is a component.
    async fn make(&self, candidate: &Candidate) -> Result<Made, DeployError> {
        let config = &candidate.config;
        if let Some(backend) = Backend::of(&config.target, &self.core.disk)? {
            return Ok(Made {
                backend,
                contracts: Contracts::default(),
                claims: 0,
                compiled: None,
            });
        }
        self.trusts(candidate).await?;
        self.stage(&config.name, "compiling");
        let compiled = self.compiler.compile(&candidate.artifact).await?;
        let (program, claims) = link::link(&self.core.engines, &compiled, config)?;
        let (artifacts, artifact) = (
            self.core.state.artifacts.clone(),
            candidate.artifact.clone(),
        );
        let keep = move || artifacts.keep(&artifact);
        self.core.state.on_disk(keep).await??;
        Ok(Made {
            backend: Backend::Component(Arc::new(program)),
            contracts: compiled.contracts.clone(),
            claims,
            compiled: Some(Arc::new(compiled)),
        })
    }

    /// Whether the component is by somebody whose components are taken. What was kept is looked at again: keys may have
    /// been taken back.
    async fn trusts(&self, candidate: &Candidate) -> Result<(), DeployError> {
        let trust = self.core.config.trust.clone();
        if trust.is_blind() {
            return Ok(());
        }
        let artifacts = self.core.state.artifacts.clone();
        let (artifact, given) = (candidate.artifact.clone(), candidate.signature.clone());
        let check = move || {
            let signature = given.or_else(|| artifacts.signature(&artifact.digest));
            let bytes = artifacts.read(&artifact)?;
            trust.check(&bytes, signature.as_deref())?;
            if let Some(signature) = signature {
                artifacts.keep_signature(&artifact.digest, &signature)?;
            }
            Ok::<_, DeployError>(())
        };
        self.core.state.on_disk(check).await?
    }

    /// Tells those who follow how far a candidate is.
    fn stage(&self, name: &ServiceName, stage: &str) {
        let happening = Happening::new(name.as_str(), Kind::Stage).because(stage);
        self.core.state.tell(happening);
    }

    fn next_number(&self, name: &ServiceName) -> u64 {
        let mut numbers = self.numbers();
        let number = numbers.entry(name.clone()).or_default();
        *number += 1;
        *number
    }

    fn numbers(&self) -> MutexGuard<'_, HashMap<ServiceName, u64>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
