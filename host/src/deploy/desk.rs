//! The newest candidate of each service: being prepared, ready to be published, or set aside until other services make
//! room for it.
//!
//! Knows nothing of what runs.

use std::collections::BTreeMap;

use skep_policy::fit::Routes;
use skep_policy::name::ServiceName;
use tokio::task::AbortHandle;

use super::Prepared;
use super::arrive::Candidate;

/// Tells a deployment from others of the same service; later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Desk {
    turns: u64,
    under_way: BTreeMap<ServiceName, UnderWay>,
    aside: BTreeMap<ServiceName, Candidate>,
}

#[derive(Debug)]
struct UnderWay {
    candidate: Candidate,
    turn: Turn,
    stage: Stage,
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
        under_way.is_some_and(|under_way| under_way.candidate == *candidate)
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
    pub(super) fn put(&mut self, candidate: Candidate, turn: Turn, task: AbortHandle) {
        let name = candidate.config.name.clone();
        let stage = Stage::Preparing(task);
        let under_way = UnderWay {
            candidate,
            turn,
            stage,
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

    /// All that can be published, in the order of the services' names.
    pub(super) fn ready(&self) -> Vec<Prepared> {
        let stages = self.under_way.values().map(|under_way| &under_way.stage);
        stages
            .filter_map(|stage| match stage {
                Stage::Ready(prepared) => Some(prepared.clone()),
                Stage::Preparing(_) => None,
            })
            .collect()
    }

    /// A deployment is over.
    pub(super) fn finish(&mut self, name: &ServiceName) -> Option<Candidate> {
        Some(self.under_way.remove(name)?.candidate)
    }

    /// Supersedes what is under way or set aside for a service.
    pub(super) fn clear(&mut self, name: &str) {
        self.aside.retain(|other, _| other.as_str() != name);
        self.under_way.retain(|other, under_way| {
            let superseded = other.as_str() == name;
            if let (true, Stage::Preparing(task)) = (superseded, &under_way.stage) {
                task.abort();
            }
            !superseded
        });
    }

    /// Lays the routes of the candidates that are under way over those of what stands.
    pub(super) fn overlay<'a>(&'a self, stands: &mut Routes<'a>) {
        stands.extend(self.under_way.iter().map(|(name, under_way)| {
            let routes = under_way.candidate.config.routes.as_slice();
            (name, routes)
        }));
    }

    /// Keeps a candidate that other services stand in the way of.
    pub(super) fn set_aside(&mut self, candidate: Candidate) {
        self.aside.insert(candidate.config.name.clone(), candidate);
    }

    /// All that was set aside, in the order of the services' names.
    pub(super) fn take_aside(&mut self) -> Vec<Candidate> {
        std::mem::take(&mut self.aside).into_values().collect()
    }
}
