//! Operators' orders: carried out at once, or when their candidates are ready; and answered either way.

use std::collections::{BTreeMap, BTreeSet};

use skep_policy::name::ServiceName;
use skep_policy::rollout::Change;
use tokio::sync::oneshot;

use super::decide::Decider;
use super::desk::{Asked, Manner, OrderId, Ordered};
use super::ledger::happened;
use super::order::{Done, Expected, Extent, Order, OrderError, Outcome, Standing, Wanted, What};
use super::{DeployError, breaks, promote, retire};
use crate::registry::Revision;
use crate::state::{Happening, Kind, Origin};
use crate::telemetry;

/// Whether a service that goes may have files yet, which are not to be taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    There,
    Gone,
}

type Reply = oneshot::Sender<Result<Done, OrderError>>;

/// Orders whose candidates are not all deployed yet.
#[derive(Debug, Default)]
pub(super) struct OpenOrders {
    last: u64,
    open: BTreeMap<OrderId, Open>,
}

#[derive(Debug)]
struct Open {
    left: usize,
    is_about_one: bool,
    done: Vec<Standing>,
    reply: Reply,
}

impl OpenOrders {
    fn open(&mut self, services: usize, reply: Reply) -> OrderId {
        self.last += 1;
        let id = OrderId(self.last);
        let open = Open {
            left: services,
            is_about_one: services == 1,
            done: Vec::new(),
            reply,
        };
        self.open.insert(id, open);
        id
    }

    /// Whether nothing else is deployed with it.
    pub(super) fn is_about_one(&self, order: OrderId) -> bool {
        self.open.get(&order).is_none_or(|open| open.is_about_one)
    }

    /// Whether somebody is still to be answered.
    pub(super) fn is_open(&self, order: OrderId) -> bool {
        self.open.contains_key(&order)
    }

    /// One of an order's services is deployed.
    pub(super) fn done(&mut self, order: OrderId, standing: Standing) {
        let Some(open) = self.open.get_mut(&order) else {
            return;
        };
        open.done.push(standing);
        open.left -= 1;
        if open.left == 0
            && let Some(open) = self.open.remove(&order)
        {
            // Whoever asked may have gone.
            open.reply
                .send(Ok(Done {
                    services: open.done,
                }))
                .ok();
        }
    }

    /// Nothing comes of an order.
    pub(super) fn fail(&mut self, order: OrderId, error: OrderError) {
        if let Some(open) = self.open.remove(&order) {
            open.reply.send(Err(error)).ok();
        }
    }
}

impl Decider {
    pub(super) async fn carry_out(&mut self, order: Order) {
        let Order {
            what,
            origin,
            expected,
            reply,
        } = order;
        let name = match &what {
            What::Deploy(wanted) => {
                if let Some(first) = self.resuming.first() {
                    drop(reply.send(Err(OrderError::Starting(first.clone()))));
                    return;
                }
                let names = wanted.iter().map(|wanted| &wanted.candidate.config.name);
                let clash = names
                    .clone()
                    .find_map(|name| self.precondition(name, expected).err());
                if let Some(error) = clash {
                    drop(reply.send(Err(error)));
                    return;
                }
                return self.deploy(wanted.clone(), origin, reply).await;
            }
            What::Rollback(name, _)
            | What::Remove(name, _)
            | What::Promote(name, _)
            | What::Pause(name)
            | What::Resume(name)
            | What::Abort(name) => name.clone(),
        };
        if let Err(error) = self.precondition(&name, expected) {
            drop(reply.send(Err(error)));
            return;
        }
        let outcome = match what {
            What::Deploy(_) => return,
            What::Rollback(name, to) => return self.roll_back(name, to, origin, reply).await,
            What::Remove(name, force) => self.remove(&name, force, &origin).await,
            What::Promote(name, extent) => self.promote(&name, extent, &origin).await,
            What::Pause(name) => self.hold(&name, true, &origin).await,
            What::Resume(name) => self.hold(&name, false, &origin).await,
            What::Abort(name) => self.abort(&name, &origin).await,
        };
        let done = outcome.map(|standing| Done {
            services: vec![standing],
        });
        // Whoever asked may have gone.
        drop(reply.send(done));
    }

    fn precondition(&self, name: &ServiceName, expected: Expected) -> Result<(), OrderError> {
        if self.resuming.awaits(name) {
            return Err(OrderError::Starting(name.clone()));
        }
        let row = self.ledger.row(name);
        let found = row.generation;
        let holds = match expected {
            Expected::Any => true,
            Expected::Absent => row.current.is_none(),
            Expected::Generation(expected) => row.current.is_some() && expected == found,
        };
        let service = name.clone();
        if holds {
            Ok(())
        } else {
            Err(OrderError::Changed { service, found })
        }
    }

    async fn deploy(&mut self, wanted: Vec<Wanted>, origin: Origin, reply: Reply) {
        let mut names = BTreeSet::new();
        for wanted in &wanted {
            names.insert(wanted.candidate.config.name.clone());
            self.clear(wanted.candidate.config.name.as_ref());
        }
        let order = self.orders.open(names.len(), reply);
        let registry = &self.deployer.core.registry;
        let (same, new): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(|wanted| promote::runs(registry, &wanted.candidate));
        for wanted in same {
            let name = &wanted.candidate.config.name;
            self.wanted_no_more(name, &origin).await;
            self.deployer.core.board.confirmed(name.as_ref());
            let running = self.running(name);
            let standing = self.standing(name, running.as_ref(), Outcome::Unchanged);
            self.orders.done(order, standing);
        }
        let asked = new.into_iter().map(|wanted| Asked {
            candidate: wanted.candidate,
            origin: origin.clone(),
            is_retry: false,
            manner: Manner::Ordered(Ordered {
                order,
                force: wanted.force,
                _held: wanted.held,
            }),
        });
        self.consider(asked.collect()).await;
    }

    async fn roll_back(
        &mut self,
        name: ServiceName,
        to: Option<u64>,
        origin: Origin,
        reply: Reply,
    ) {
        match self.older(&name, to).await {
            Ok(number) => {
                self.clear(name.as_ref());
                let order = self.orders.open(1, reply);
                self.bring_back(name, number, origin, order).await;
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// The revision that a rollback goes to.
    async fn older(&self, name: &ServiceName, to: Option<u64>) -> Result<u64, OrderError> {
        let row = self.ledger.row(name);
        let current = row
            .current
            .ok_or_else(|| OrderError::NoService(name.clone()))?;
        let candidate = row.rollout.as_ref().map(|rollout| rollout.candidate);
        let mut kept = self.ledger.state.kept(name.as_str()).await?;
        kept.retain(|number| *number != current && Some(*number) != candidate);
        match to {
            Some(number) if kept.contains(&number) => Ok(number),
            Some(number) => Err(OrderError::NoRevision {
                service: name.clone(),
                number,
                kept,
            }),
            // A rollback of a rollback goes further back, not forth again, and none goes to a candidate that was given up.
            None => {
                let ran = self.ledger.state.ran(name.as_str()).await?;
                let older = ran.into_iter().find(|number| *number < current);
                older.ok_or_else(|| OrderError::NothingOlder(name.clone()))
            }
        }
    }

    async fn bring_back(&mut self, name: ServiceName, number: u64, origin: Origin, order: OrderId) {
        let stored = self.ledger.state.revision(name.as_str(), number).await;
        let stored = match stored {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                let kept = Vec::new();
                let error = OrderError::NoRevision {
                    service: name,
                    number,
                    kept,
                };
                return self.orders.fail(order, error);
            }
            Err(error) => return self.orders.fail(order, error.into()),
        };
        let manner = Manner::RolledBack(order, number, stored.origin.clone());
        let asked = Asked {
            candidate: self.deployer.candidate(stored),
            origin,
            manner,
            is_retry: false,
        };
        let Some(prepared) = self.kept.again(&name, number) else {
            return self.consider(vec![asked]).await;
        };
        // Linked already: nothing has to be prepared.
        if let Err(misfit) = self.swap(&[(asked.clone(), prepared)]).await {
            self.refuse(asked, &DeployError::from(misfit)).await;
        }
    }

    async fn remove(
        &mut self,
        name: &ServiceName,
        force: bool,
        origin: &Origin,
    ) -> Result<Standing, OrderError> {
        let row = self.ledger.row(name);
        let board = &self.deployer.core.board;
        let is_known = row.current.is_some() || self.desk.awaits(name);
        // One that was never deployed is forgotten so.
        if !is_known && !board.reports().contains_key(name.as_str()) {
            return Err(OrderError::NoService(name.clone()));
        }
        let registry = &self.deployer.core.registry;
        let names = std::slice::from_ref(name);
        if let (false, Ok((plan, _))) = (force, promote::without(registry, names)) {
            let gone = BTreeSet::from([name.clone()]);
            let sentences = breaks::of(&registry.snapshot(), plan.snapshot(), &gone);
            if !sentences.is_empty() {
                return Err(OrderError::refused(name, &DeployError::Breaks(sentences)));
            }
        }
        self.clear(name.as_ref());
        self.take_out(names, origin, Files::There).await?;
        Ok(self.standing(name, None, Outcome::Removed))
    }

    /// The files of these services, or of what never was one, are gone.
    pub(super) async fn files_gone(&mut self, gone: &BTreeSet<String>) {
        let mut names = Vec::new();
        for gone in gone {
            let Ok(name) = ServiceName::try_from(gone.as_str()) else {
                self.deployer.core.board.removed(gone);
                continue;
            };
            let is_of_files = |revision: &Revision| revision.origin.actor == "files";
            match self.running(&name) {
                Some(running) if !is_of_files(&running) => {
                    let mut row = self.ledger.row(&name);
                    row.files = None;
                    if let Err(error) = self.ledger.commit(vec![row], Vec::new(), Vec::new()).await
                    {
                        let error = telemetry::chain(&error);
                        tracing::error!(
                            service = name.as_str(),
                            error,
                            "it could not be written down that its files are gone"
                        );
                    }
                    self.deployer.core.board.confirmed(name.as_ref());
                }
                _ => names.push(name),
            }
        }
        if names.is_empty() {
            return;
        }
        if let Err(error) = self
            .take_out(&names, &Origin::host("its files are gone"), Files::Gone)
            .await
        {
            let error = telemetry::chain(&error);
            tracing::error!(services = ?names, error, "services could not be removed");
            // With the next change of any file they are tried again.
            self.unremoved
                .extend(names.iter().map(ServiceName::to_string));
        }
    }

    /// Takes services out: written down, then published.
    async fn take_out(
        &mut self,
        names: &[ServiceName],
        origin: &Origin,
        files: Files,
    ) -> Result<(), OrderError> {
        let core = self.deployer.core.clone();
        let (plan, removed) = promote::without(&core.registry, names)
            .map_err(|misfit| OrderError::refused(&names[0], &DeployError::from(misfit)))?;
        let mut rows = Vec::new();
        let mut happenings = Vec::new();
        for name in names {
            let mut row = self.ledger.row(name);
            if row.current.is_some() {
                happenings.push(Happening::new(name.as_str(), Kind::Removed).by(origin));
            }
            row.current = None;
            row.rollout = None;
            row.files = row.files.filter(|_| files == Files::There);
            rows.push(row);
        }
        self.ledger.commit(rows, Vec::new(), happenings).await?;
        self.littered = true;
        if !core.registry.adopt(plan) {
            tracing::error!("a snapshot was published by somebody else");
        }
        for name in names {
            core.board.removed(name.as_ref());
            self.kept.forget(name);
            self.trials.remove(name);
        }
        self.changed = true;
        for revision in removed {
            let (service, number) = (revision.config.name.as_ref(), revision.number);
            tracing::info!(service, revision = number, "service removed");
            retire::retire(&core, revision);
        }
        Ok(())
    }

    async fn promote(
        &mut self,
        name: &ServiceName,
        extent: Extent,
        origin: &Origin,
    ) -> Result<Standing, OrderError> {
        let mut trial = self.trial(name)?;
        let now = self.trials.now();
        let change = match extent {
            Extent::Step => trial.rollout.promote(now),
            Extent::Full => trial.rollout.promote_fully(),
        };
        let Some(change) = change else {
            // It was paused, and goes on.
            return self.hold(name, false, origin).await;
        };
        let revision = trial.prepared.revision.clone();
        let outcome = match self.apply(name, trial, change, origin).await? {
            Change::Weight(_) => Outcome::RolloutStep,
            Change::Promote => Outcome::Promoted,
            Change::Abort(_) => Outcome::RolloutAborted,
        };
        Ok(self.standing(name, Some(&revision), outcome))
    }

    async fn hold(
        &mut self,
        name: &ServiceName,
        paused: bool,
        origin: &Origin,
    ) -> Result<Standing, OrderError> {
        let mut trial = self.trial(name)?;
        let now = self.trials.now();
        let (changed, kind, outcome) = if paused {
            let changed = trial.rollout.pause(now);
            (changed, Kind::RolloutPaused, Outcome::RolloutPaused)
        } else {
            let changed = trial.rollout.resume(now);
            (changed, Kind::RolloutResumed, Outcome::RolloutResumed)
        };
        let revision = trial.prepared.revision.clone();
        if changed {
            let mut row = self.ledger.row(name);
            row.rollout = Some(trial.stored());
            let happening = happened(&revision, kind, origin).because(trial.describe());
            self.ledger
                .commit(vec![row], Vec::new(), vec![happening])
                .await?;
            self.trials.put(name.clone(), trial);
        }
        Ok(self.standing(name, Some(&revision), outcome))
    }

    async fn abort(&mut self, name: &ServiceName, origin: &Origin) -> Result<Standing, OrderError> {
        let mut trial = self.trial(name)?;
        let revision = trial.prepared.revision.clone();
        if let Some(change) = trial.rollout.abort(format!("{} aborted it", origin.actor)) {
            self.apply(name, trial, change, origin).await?;
        }
        Ok(self.standing(name, Some(&revision), Outcome::RolloutAborted))
    }

    fn trial(&self, name: &ServiceName) -> Result<super::trials::UnderTrial, OrderError> {
        if self.ledger.row(name).current.is_none() {
            return Err(OrderError::NoService(name.clone()));
        }
        let trial = self.trials.get(name).cloned();
        trial.ok_or_else(|| OrderError::NoRollout(name.clone()))
    }
}
