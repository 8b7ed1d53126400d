//! The newest candidate of each service: under way, or set aside until other services make room for it.
//!
//! Knows nothing of what runs. Whoever holds the desk's lock decides for all deployments.

use std::collections::BTreeMap;

use tokio::task::AbortHandle;

use super::arrive::Candidate;

/// Tells a deployment from others of the same service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Desk {
    turns: u64,
    under_way: BTreeMap<String, UnderWay>,
    aside: BTreeMap<String, Candidate>,
}

#[derive(Debug)]
struct UnderWay {
    candidate: Candidate,
    turn: Turn,
    task: AbortHandle,
}

impl Desk {
    /// A turn that no deployment has had.
    pub(super) fn turn(&mut self) -> Turn {
        self.turns += 1;
        Turn(self.turns)
    }

    /// Whether exactly this is under way.
    pub(super) fn works_on(&self, candidate: &Candidate) -> bool {
        let under_way = self.under_way.get(candidate.config.name.as_ref());
        under_way.is_some_and(|under_way| under_way.candidate == *candidate)
    }

    /// A deployment has begun.
    pub(super) fn put(&mut self, candidate: Candidate, turn: Turn, task: AbortHandle) {
        let name = candidate.config.name.to_string();
        let under_way = UnderWay {
            candidate,
            turn,
            task,
        };
        self.under_way.insert(name, under_way);
    }

    /// A deployment is prepared or has failed; false if it has been superseded, and then nothing may come of it.
    pub(super) fn finish(&mut self, name: &str, turn: Turn) -> bool {
        let is_current = self
            .under_way
            .get(name)
            .is_some_and(|under_way| under_way.turn == turn);
        if is_current {
            self.under_way.remove(name);
        }
        is_current
    }

    /// Supersedes what is under way or set aside for a service.
    pub(super) fn clear(&mut self, name: &str) {
        self.aside.remove(name);
        if let Some(under_way) = self.under_way.remove(name) {
            under_way.task.abort();
        }
    }

    /// Keeps a candidate that other services stand in the way of.
    pub(super) fn set_aside(&mut self, candidate: Candidate) {
        let name = candidate.config.name.to_string();
        self.aside.insert(name, candidate);
    }

    /// All that was set aside, in the order of the services' names.
    pub(super) fn take_aside(&mut self) -> impl Iterator<Item = Candidate> + use<> {
        std::mem::take(&mut self.aside).into_values()
    }
}
