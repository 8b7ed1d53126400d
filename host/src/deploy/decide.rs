//! The task that decides: what arrives is prepared, what is ready is published, what fails is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use skep_policy::fit::Misfit;
use skep_policy::name::ServiceName;
use tokio::sync::mpsc;

use super::arrive::{Candidate, Change};
use super::desk::{Asked, Desk, Manner, Turn};
use super::kept::Kept;
use super::ledger::{Ledger, fingerprint};
use super::operate::OpenOrders;
use super::order::OrderError;
use super::resume::{Resumed, Resuming};
use super::trials::Trials;
use super::{DeployError, Deployer, Prepared, promote};
use crate::state::{Happening, Kind, Origin, StateError};
use crate::telemetry;

/// What has come of something that was prepared in a task of its own.
pub(super) enum News {
    /// Of a candidate.
    Prepared(ServiceName, Turn, Result<Prepared, DeployError>),
    /// Of a service that ran before the host was started.
    Resumed(Box<Resumed>),
}

/// What the deciding task works on.
pub(super) struct Decider {
    pub(super) deployer: Arc<Deployer>,
    pub(super) desk: Desk,
    pub(super) ledger: Ledger,
    pub(super) orders: OpenOrders,
    pub(super) kept: Kept,
    pub(super) trials: Trials,
    pub(super) resuming: Resuming,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Whether what was set aside may fit now.
    pub(super) changed: bool,
    /// Whether there may be artifacts that no revision came of, or whose revisions went without ever answering.
    pub(super) littered: bool,
    /// Services whose files are gone, which could not be written down.
    pub(super) unremoved: BTreeSet<String>,
}

impl Decider {
    pub(super) async fn new(
        deployer: Arc<Deployer>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<News>), StateError> {
        let (news, receiver) = mpsc::unbounded_channel();
        let core = &deployer.core;
        let ledger = Ledger::open(core.state.clone(), core.config.revision_history_limit).await?;
        let decider = Self {
            desk: Desk::default(),
            ledger,
            orders: OpenOrders::default(),
            kept: Kept::default(),
            trials: Trials::default(),
            resuming: Resuming::default(),
            news,
            changed: false,
            littered: false,
            unremoved: BTreeSet::new(),
            deployer,
        };
        Ok((decider, receiver))
    }

    pub(super) fn last_turn(&self) -> Turn {
        self.desk.last_turn()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.desk.is_busy() || self.resuming.is_busy()
    }

    pub(super) fn works_on_any_up_to(&self, turn: Turn) -> bool {
        self.desk.works_on_any_up_to(turn) || self.resuming.is_busy()
    }

    /// Removals make room, so they come first.
    pub(super) async fn take(&mut self, changes: Vec<Change>) {
        let changes = self.resuming.defer(changes);
        let mut candidates = Vec::new();
        let mut gone = std::mem::take(&mut self.unremoved);
        for change in changes {
            match change {
                Change::Upsert(candidate) => {
                    gone.remove(candidate.config.name.as_str());
                    candidates.push(*candidate);
                }
                Change::Remove(name) => {
                    self.clear(&name);
                    gone.insert(name);
                }
                Change::Broken(name, error) => {
                    gone.remove(&name);
                    self.clear(&name);
                    self.report(&name, &*error, &Origin::host("its files"))
                        .await;
                }
            }
        }
        if !gone.is_empty() {
            self.files_gone(&gone).await;
        }
        let mut new = Vec::new();
        for candidate in candidates {
            if self.desk.works_on(&candidate) {
                continue;
            }
            self.clear(candidate.config.name.as_ref());
            if !self.is_known(&candidate).await {
                let origin = Origin::files(&candidate.config);
                new.push(Asked {
                    candidate,
                    origin,
                    manner: Manner::Files,
                    is_retry: false,
                });
            }
        }
        self.consider(new).await;
    }

    /// Whether the files say nothing new: they are as they were when they were last taken, or describe what runs.
    async fn is_known(&mut self, candidate: &Candidate) -> bool {
        let core = self.deployer.core.clone();
        let registry = &core.registry;
        let name = &candidate.config.name;
        let files = fingerprint(candidate);
        let row = self.ledger.row(name);
        let is_there = row.current.is_none() || promote::has_revision(registry, name);
        // Also of a service that an operator removed: it stays so until its files change.
        let was_taken = row.files == Some(files) && is_there;
        let runs = promote::runs(registry, candidate);
        if !was_taken && !runs {
            return false;
        }
        if !was_taken {
            let origin = Origin::files(&candidate.config);
            self.wanted_no_more(name, &origin).await;
        }
        let mut row = self.ledger.row(name);
        let board = &core.board;
        if runs {
            board.confirmed(name.as_ref());
        } else {
            board.confirmed_quietly(name.as_ref());
        }
        if row.files != Some(files) {
            row.files = Some(files);
            if let Err(error) = self.ledger.commit(vec![row], Vec::new(), Vec::new()).await {
                let error = telemetry::chain(&error);
                tracing::error!(
                    service = name.as_str(),
                    error,
                    "it could not be written down that the files are known"
                );
            }
        }
        true
    }

    /// Begins with all that fits, and sets aside or refuses the rest.
    pub(super) async fn consider(&mut self, asked: Vec<Asked>) {
        let (fitting, misfits) = self.sort_out(asked);
        for (asked, misfit) in misfits {
            let board = &self.deployer.core.board;
            board.compiling(asked.name().as_ref(), &asked.candidate);
            self.refuse(asked, &misfit.into()).await;
        }
        // Of an order all or none.
        let is_wanted =
            |asked: &Asked| asked.order().is_none_or(|order| self.orders.is_open(order));
        let fitting = fitting.into_iter().filter(is_wanted).collect();
        self.begin(fitting);
    }

    /// What is under way for a service counts no more.
    pub(super) fn clear(&mut self, name: &str) {
        if let Some(asked) = self.desk.clear(name) {
            self.littered = true;
            if let Some(order) = asked.order() {
                for other in self.desk.of_order(order) {
                    self.desk.clear(other.as_ref());
                }
                self.orders
                    .fail(order, OrderError::Superseded(asked.name().clone()));
            }
        }
        self.changed = true;
    }

    /// Which candidates fit beside what stands when all that is under way has been published. Found out before anything
    /// is compiled, so that of two that claim the same route one has it, however long each takes.
    fn sort_out(&self, asked: Vec<Asked>) -> (Vec<Asked>, Vec<(Asked, Misfit)>) {
        let registry = &self.deployer.core.registry;
        let snapshot = registry.snapshot();
        let mut stands = promote::stands(&snapshot, &self.desk);
        self.desk.overlay(&mut stands);
        let configs = asked.iter().map(|asked| &asked.candidate.config);
        let mut misfits = promote::misfits(registry, &stands, configs);
        let mut sorted = (Vec::new(), Vec::new());
        for asked in asked {
            match misfits.remove(asked.name()) {
                None => sorted.0.push(asked),
                Some(misfit) => sorted.1.push((asked, misfit)),
            }
        }
        sorted
    }

    fn begin(&mut self, asked: Vec<Asked>) {
        let core = self.deployer.core.clone();
        let configs: Vec<_> = asked
            .iter()
            .map(|asked| Arc::new(asked.candidate.config.clone()))
            .collect();
        promote::reserve(&core.registry, &self.desk, &configs);
        for asked in asked {
            let name = asked.name().clone();
            core.board.compiling(name.as_ref(), &asked.candidate);
            let digest = asked.candidate.artifact.digest.to_string();
            let mut begins = Happening::new(name.as_str(), Kind::Deploying).by(&asked.origin);
            begins.digest = Some(digest);
            core.state.tell(begins);
            let turn = self.desk.turn();
            let held = core.state.artifacts.hold(asked.candidate.artifact.digest);
            let (deployer, news) = (self.deployer.clone(), self.news.clone());
            let (candidate, origin) = (asked.candidate.clone(), asked.came_from());
            let (number, is_forced) = (asked.number(), asked.is_forced());
            let task = tokio::spawn(async move {
                let prepare = deployer.prepare(&candidate, origin, number, is_forced);
                let result = AssertUnwindSafe(prepare)
                    .catch_unwind()
                    .await
                    .unwrap_or(Err(DeployError::Panicked));
                // Nobody listens any more when the host stops.
                drop(news.send(News::Prepared(name, turn, result)));
            });
            self.desk.put(asked, turn, task.abort_handle(), held);
        }
    }

    pub(super) async fn note(&mut self, news: News) {
        match news {
            News::Resumed(resumed) => self.resumed(*resumed).await,
            News::Prepared(name, turn, _) if !self.desk.is_current(&name, turn) => {}
            News::Prepared(name, _, Ok(prepared)) => self.desk.prepared(&name, prepared),
            News::Prepared(name, _, Err(error)) => {
                self.changed = true;
                if let Some(asked) = self.desk.finish(&name) {
                    self.refuse(asked, &error).await;
                }
            }
        }
    }

    /// Reports that a candidate is refused, to the board and to whoever ordered it, with all that was to be deployed
    /// with it. One that files describe and that others stand in the way of is kept for when they don't.
    pub(super) async fn refuse(&mut self, asked: Asked, error: &DeployError) {
        let name = asked.name().clone();
        self.littered = true;
        let board = &self.deployer.core.board;
        let is_news =
            !asked.is_retry || board.error(name.as_ref()) != Some(telemetry::chain(error));
        if is_news {
            self.report(name.as_ref(), error, &asked.origin).await;
        } else {
            board.failed(name.as_ref(), telemetry::chain(error));
        }
        let order = asked.order();
        let waits_for_others = matches!(error, DeployError::Misfit(_) | DeployError::Breaks(_));
        if order.is_none() && waits_for_others {
            self.desk.set_aside(asked);
        }
        let Some(order) = order else { return };
        for other in self.desk.of_order(order) {
            if let Some(asked) = self.desk.clear(other.as_ref()) {
                let error = DeployError::Companion(name.clone());
                self.report(other.as_ref(), &error, &asked.origin).await;
            }
        }
        self.orders.fail(order, OrderError::refused(&name, error));
    }

    pub(super) async fn report(
        &self,
        name: &str,
        error: &(dyn std::error::Error + 'static + Sync),
        origin: &Origin,
    ) {
        let error = telemetry::chain(error);
        self.deployer.core.board.failed(name, error.clone());
        tracing::error!(service = name, error, "deployment refused");
        let refused = Happening::new(name, Kind::Refused)
            .by(origin)
            .because(error);
        self.ledger.note(refused).await;
    }

    /// Publishes all that is ready in one snapshot. If that can't be, as much of it as fits; the rest waits for
    /// candidates that are under way, or is refused.
    pub(super) async fn publish(&mut self) {
        loop {
            let ready = self.desk.ready();
            if ready.is_empty() {
                return;
            }
            let Err(misfit) = self.swap(&ready).await else {
                continue;
            };
            let Some(refused) = self.misplaced(&ready, misfit).await else {
                continue;
            };
            if refused.is_empty() {
                return;
            }
            for (name, misfit) in refused {
                // One that the pool has no room for gives nothing back that would make room for it.
                self.changed |= matches!(misfit, Misfit::Route(_));
                if let Some(asked) = self.desk.finish(&name) {
                    self.refuse(asked, &misfit.into()).await;
                }
            }
        }
    }

    /// Publishes those of `ready` that fit, if they don't all. If none could be: which of them can't be helped.
    async fn misplaced(
        &mut self,
        ready: &[(Asked, Prepared)],
        misfit: Misfit,
    ) -> Option<Vec<(ServiceName, Misfit)>> {
        let core = self.deployer.core.clone();
        let snapshot = core.registry.snapshot();
        let stands = promote::stands(&snapshot, &self.desk);
        let configs = ready.iter().map(|(asked, _)| &asked.candidate.config);
        let misfits = promote::misfits(&core.registry, &stands, configs);
        drop(stands);
        // Of an order all or none.
        let held_back = ready
            .iter()
            .filter(|(asked, _)| misfits.contains_key(asked.name()))
            .filter_map(|(asked, _)| asked.order());
        let held_back: BTreeSet<_> = held_back.collect();
        let fits = |asked: &Asked| {
            let is_held = asked
                .order()
                .is_some_and(|order| held_back.contains(&order));
            !is_held && !misfits.contains_key(asked.name())
        };
        let fitting: Vec<_> = ready
            .iter()
            .filter(|(asked, _)| fits(asked))
            .cloned()
            .collect();
        if fitting.is_empty() {
            return Some(self.hopeless(misfits));
        }
        // What each takes of the pool is known only now: who takes most goes last.
        let misfit = if fitting.len() == ready.len() {
            misfit
        } else {
            self.swap(&fitting).await.err()?
        };
        let largest = fitting.iter().max_by_key(|(_, one)| one.revision.claims);
        let largest = largest.map(|(asked, _)| (asked.name().clone(), misfit));
        Some(largest.into_iter().collect())
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
    pub(super) async fn retry(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let deferred = self.resuming.free();
        if !deferred.is_empty() {
            // Boxed: taking changes may end here again.
            Box::pin(self.take(deferred)).await;
        }
        let mut aside = self.desk.take_aside();
        if aside.is_empty() {
            return;
        }
        for asked in &mut aside {
            asked.is_retry = true;
        }
        let (fitting, misfits) = self.sort_out(aside);
        for (asked, misfit) in misfits {
            let board = &self.deployer.core.board;
            board.still_refused(asked.name().as_ref(), telemetry::chain(&misfit));
            self.desk.set_aside(asked);
        }
        self.begin(fitting);
    }

    /// Deletes artifacts that nobody needs any more, if there may be some.
    pub(super) fn tidy(&mut self) {
        if !std::mem::take(&mut self.littered) {
            return;
        }
        let state = self.ledger.state.clone();
        let collect = async move {
            if let Err(error) = state.collect().await {
                let error = telemetry::chain(&error);
                tracing::error!(error, "artifacts that nobody needs could not be looked for");
            }
        };
        drop(tokio::spawn(collect));
    }
}
