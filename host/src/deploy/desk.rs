//! The newest candidate of each service: being prepared, ready to be published, or set aside until other services make
//! room for it.
//!
//! Knows nothing of what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_policy::fit::Routes;
use skep_policy::name::ServiceName;
use tokio::task::AbortHandle;

use super::Prepared;
use super::arrive::Candidate;
use super::promote::wants;
use crate::state::{Held, Origin};

/// Tells a deployment from others of the same service; later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

/// Tells an order from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderId(pub(super) u64);

/// A candidate, and who wants it deployed how.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) candidate: Candidate,
    pub(super) origin: Origin,
    pub(super) manner: Manner,
    /// Whether it was refused before and is tried again: the same refusal is no news.
    pub(super) is_retry: bool,
}

/// How a candidate is to be deployed.
#[derive(Debug, Clone)]
pub(super) enum Manner {
    /// Files describe it: it waits for others that stand in its way.
    Files,
    /// An operator waits for it: what does not fit is refused.
    Ordered(Ordered),
    /// An operator wants an older revision back, which has its number and came from somewhere.
    RolledBack(OrderId, u64, Origin),
}

#[derive(Debug, Clone)]
pub(super) struct Ordered {
    pub(super) order: OrderId,
    pub(super) force: bool,
    pub(super) _held: Arc<Held>,
}

impl Asked {
    pub(super) fn name(&self) -> &ServiceName {
        &self.candidate.config.name
    }

    pub(super) fn order(&self) -> Option<OrderId> {
        match &self.manner {
            Manner::Files => None,
            Manner::Ordered(ordered) => Some(ordered.order),
            Manner::RolledBack(order, ..) => Some(*order),
        }
    }

    /// Where the revision came from, whoever wants it now.
    pub(super) fn came_from(&self) -> Origin {
        match &self.manner {
            Manner::RolledBack(_, _, origin) => origin.clone(),
            Manner::Files | Manner::Ordered(_) => self.origin.clone(),
        }
    }

    /// The number that the revision has already.
    pub(super) fn number(&self) -> Option<u64> {
        match self.manner {
            Manner::RolledBack(_, number, _) => Some(number),
            Manner::Files | Manner::Ordered(_) => None,
        }
    }

    /// Whether what it does to others is the operator's own wish.
    pub(super) fn is_forced(&self) -> bool {
        match &self.manner {
            Manner::Ordered(ordered) => ordered.force,
            Manner::RolledBack(..) => true,
            Manner::Files => false,
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Desk {
    turns: u64,
    under_way: BTreeMap<ServiceName, UnderWay>,
    aside: BTreeMap<ServiceName, Asked>,
}

#[derive(Debug)]
struct UnderWay {
    asked: Asked,
    turn: Turn,
    stage: Stage,
    /// Its component is needed from before it is kept until its revision is written down.
    _held: Held,
}

#[derive(Debug)]
enum Stage {
    Preparing(AbortHandle),
    Ready(Prepared),
}

impl Desk {
    /// A turn that no deployment has had.
    pub(super) fn turn(&mut self) -> Turn {
        self.turns += 1;
        Turn(self.turns)
    }

    /// The newest turn.
    pub(super) fn last_turn(&self) -> Turn {
        Turn(self.turns)
    }

    /// Whether a deployment with this turn or an older one is still under way.
    pub(super) fn works_on_any_up_to(&self, turn: Turn) -> bool {
        self.under_way
            .values()
            .any(|under_way| under_way.turn <= turn)
    }

    /// Whether exactly this is under way.
    pub(super) fn works_on(&self, candidate: &Candidate) -> bool {
        let under_way = self.under_way.get(&candidate.config.name);
        under_way.is_some_and(|under_way| under_way.asked.candidate == *candidate)
    }

    /// Whether the service's candidate may still be published.
    pub(super) fn awaits(&self, name: &ServiceName) -> bool {
        self.under_way.contains_key(name)
    }

    /// Whether the service's candidate is being prepared.
    pub(super) fn prepares(&self, name: &ServiceName) -> bool {
        let under_way = self.under_way.get(name);
        under_way.is_some_and(|under_way| matches!(under_way.stage, Stage::Preparing(_)))
    }

    /// Whether any deployment is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// A deployment has begun.
    pub(super) fn put(&mut self, asked: Asked, turn: Turn, task: AbortHandle, held: Held) {
        let name = asked.name().clone();
        let under_way = UnderWay {
            asked,
            turn,
            stage: Stage::Preparing(task),
            _held: held,
        };
        self.under_way.insert(name, under_way);
    }

    /// Whether a deployment is the newest of its service: else nothing may come of it.
    pub(super) fn is_current(&self, name: &ServiceName, turn: Turn) -> bool {
        let under_way = self.under_way.get(name);
        under_way.is_some_and(|under_way| under_way.turn == turn)
    }

    /// The candidate can be published.
    pub(super) fn prepared(&mut self, name: &ServiceName, prepared: Prepared) {
        if let Some(under_way) = self.under_way.get_mut(name) {
            under_way.stage = Stage::Ready(prepared);
        }
    }

    /// All that can be published, in the order of the services' names. Of an order all or none.
    pub(super) fn ready(&self) -> Vec<(Asked, Prepared)> {
        let unready = self.under_way.values().filter_map(|under_way| {
            let is_ready = matches!(under_way.stage, Stage::Ready(_));
            under_way.asked.order().filter(|_| !is_ready)
        });
        let unready: BTreeSet<OrderId> = unready.collect();
        let ready = self.under_way.values().filter_map(|under_way| {
            let waits = under_way.asked.order();
            match &under_way.stage {
                Stage::Ready(prepared) if waits.is_none_or(|order| !unready.contains(&order)) => {
                    Some((under_way.asked.clone(), prepared.clone()))
                }
                _ => None,
            }
        });
        ready.collect()
    }

    /// The services that an order is about and that are still under way.
    pub(super) fn of_order(&self, order: OrderId) -> Vec<ServiceName> {
        let of_order = |under_way: &&UnderWay| under_way.asked.order() == Some(order);
        let members = self.under_way.values().filter(of_order);
        members
            .map(|under_way| under_way.asked.name().clone())
            .collect()
    }

    /// A deployment is over.
    pub(super) fn finish(&mut self, name: &ServiceName) -> Option<Asked> {
        Some(self.under_way.remove(name)?.asked)
    }

    /// Supersedes what is under way or set aside for a service; what was under way comes back.
    pub(super) fn clear(&mut self, name: &str) -> Option<Asked> {
        self.aside.retain(|other, _| other.as_str() != name);
        let (key, _) = self
            .under_way
            .iter()
            .find(|(other, _)| other.as_str() == name)?;
        let under_way = self.under_way.remove(&key.clone())?;
        if let Stage::Preparing(task) = &under_way.stage {
            task.abort();
        }
        Some(under_way.asked)
    }

    /// Lays the routes of the candidates that are under way over those of what stands.
    pub(super) fn overlay<'a>(&'a self, stands: &mut Routes<'a>) {
        let under_way = self.under_way.iter();
        stands.extend(under_way.map(|(name, one)| (name, wants(&one.asked.candidate.config))));
    }

    /// Keeps a candidate that other services stand in the way of.
    pub(super) fn set_aside(&mut self, asked: Asked) {
        self.aside.insert(asked.name().clone(), asked);
    }

    /// All that was set aside, in the order of the services' names.
    pub(super) fn take_aside(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.aside).into_values().collect()
    }
}
