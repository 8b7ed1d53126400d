//! A deployment's whole way: arrive → compile → health → promote → retire.
//!
//! Everything is prepared before anything is changed; then one pointer is swapped; then the old revision is stopped. A
//! failure on the way leaves what runs untouched and is reported on the board.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use skep_policy::name::ServiceName;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::arrive::{Batch, Candidate, Change};
use self::compile::{CompileError, Compiled, Compiler};
use self::desk::{Desk, Turn};
use crate::fault::Fault;
use crate::host::Core;
use crate::registry::{PublishError, Revision};
use crate::telemetry;

pub mod arrive;
pub mod board;
pub mod compile;
mod desk;
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
    Publish(#[from] PublishError),
    /// The host is at fault.
    #[error("the host failed at deploying it, which is a bug; the log has more")]
    Panicked,
}

/// Carries deployments through, each service on its own.
pub struct Deployer {
    core: Arc<Core>,
    compiler: Compiler,
    /// Held while a snapshot is published for a service, so that what was superseded is never published.
    desk: Mutex<Desk>,
    numbers: Mutex<HashMap<ServiceName, u64>>,
}

impl Deployer {
    /// A deployer for `core`'s registry.
    pub fn new(core: Arc<Core>, compiler: Compiler) -> Arc<Self> {
        Arc::new(Self {
            core,
            compiler,
            desk: Mutex::default(),
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
        let mut at_start = Some((Vec::new(), first_scan));
        while let Some(Batch { changes, settled }) = batches.recv().await {
            let tasks = changes.into_iter().filter_map(|change| self.take(change));
            match &mut at_start {
                None => tasks.for_each(drop),
                Some((all, _)) => all.extend(tasks),
            }
            if let Some((all, first_scan)) = at_start.take_if(|_| settled) {
                // Not joined: it ends with the last of the tasks.
                drop(tokio::spawn(async move {
                    // A task that a newer deployment has replaced is over as well.
                    drop(futures::future::join_all(all).await);
                    first_scan.send_replace(true);
                }));
            }
        }
    }

    fn take(self: &Arc<Self>, change: Change) -> Option<JoinHandle<()>> {
        let mut desk = self.desk();
        match change {
            Change::Upsert(candidate) => self.begin(&mut desk, *candidate),
            Change::Remove(name) => {
                desk.clear(&name);
                self.remove(&name);
                self.retry(&mut desk);
                None
            }
            Change::Broken(name, error) => {
                desk.clear(&name);
                self.refuse(&name, &*error);
                None
            }
        }
    }

    /// Routes are claimed here, one candidate after the other, so that of two that claim the same the first has them.
    fn begin(self: &Arc<Self>, desk: &mut Desk, candidate: Candidate) -> Option<JoinHandle<()>> {
        let name = candidate.config.name.clone();
        if desk.works_on(&candidate) {
            return None;
        }
        desk.clear(name.as_ref());
        if promote::runs(&self.core.registry, &candidate) {
            self.core.board.confirmed(name.as_ref());
            return None;
        }
        self.core.board.compiling(name.as_ref(), &candidate);
        let config = Arc::new(candidate.config.clone());
        if let Err(error) = promote::announce(&self.core, &config) {
            self.refuse(name.as_ref(), &error);
            desk.set_aside(candidate);
            return None;
        }
        let turn = desk.turn();
        let task = tokio::spawn(self.clone().carry(turn, candidate.clone()));
        desk.put(candidate, turn, task.abort_handle());
        Some(task)
    }

    async fn carry(self: Arc<Self>, turn: Turn, candidate: Candidate) {
        let prepared = AssertUnwindSafe(self.prepare(&candidate))
            .catch_unwind()
            .await
            .unwrap_or(Err(DeployError::Panicked));
        let mut desk = self.desk();
        let name = candidate.config.name.as_ref();
        if !desk.finish(name, turn) {
            return;
        }
        let promoted = prepared.and_then(|(revision, compiled)| {
            self.promote(revision, &compiled)
                .inspect_err(|_| desk.set_aside(candidate.clone()))
        });
        match promoted {
            Ok(()) => self.retry(&mut desk),
            Err(error) => self.refuse(name, &error),
        }
    }

    /// The script, up to the swap. Cancelled at any await, it leaves what runs untouched.
    async fn prepare(
        &self,
        candidate: &Candidate,
    ) -> Result<(Arc<Revision>, Compiled), DeployError> {
        let config = Arc::new(candidate.config.clone());
        let compiled = self.compiler.compile(&candidate.artifact).await?;
        let (program, claims) = link::link(&self.core.engines, &compiled, &config)?;
        let number = self.next_number(&config.name);
        let digest = compiled.digest.to_string();
        let revision = Arc::new(Revision::new(number, digest, config, program, claims));
        crate::request::run::probe(&self.core, revision.clone())
            .await
            .map_err(DeployError::Health)?;
        Ok((revision, compiled))
    }

    /// The script, from the swap on.
    fn promote(&self, revision: Arc<Revision>, compiled: &Compiled) -> Result<(), DeployError> {
        let replaced = promote::publish(&self.core.registry, revision.clone())?;
        self.core.board.promoted(&revision, compiled);
        retire::retire(&self.core, replaced);
        Ok(())
    }

    /// Begins again with what other services stood in the way of and no longer do.
    fn retry(self: &Arc<Self>, desk: &mut Desk) {
        for candidate in desk.take_aside() {
            let name = candidate.config.name.as_ref();
            match promote::fits(&self.core, &candidate.config) {
                // Not joined: it is on the desk.
                Ok(()) => drop(self.begin(desk, candidate)),
                Err(error) => {
                    self.core
                        .board
                        .still_refused(name, telemetry::chain(&error));
                    desk.set_aside(candidate);
                }
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn remove(&self, name: &str) {
        self.core.board.removed(name);
        match promote::remove(&self.core.registry, name) {
            Ok(Some(revision)) => {
                tracing::info!(
                    service = name,
                    revision = revision.number,
                    "service removed"
                );
                retire::retire(&self.core, Some(revision));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(
                service = name,
                error = telemetry::chain(&error),
                "service could not be removed"
            ),
        }
    }
}
