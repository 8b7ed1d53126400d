//! What operators ask for, by the admin API, and what they are told.

use std::sync::Arc;

use skep_policy::name::ServiceName;
use tokio::sync::{mpsc, oneshot};

use super::DeployError;
use super::arrive::Candidate;
use crate::state::{Held, Origin};

/// Orders that wait for the deployer; past that their senders wait.
const ORDERS_MAX: usize = 64;

/// One order and the way back.
#[derive(Debug)]
pub struct Order {
    /// What is to be done.
    pub what: What,
    /// Who wants it, and where it comes from.
    pub origin: Origin,
    /// The generation that the service must have; [`Expected::Any`] for any.
    pub expected: Expected,
    /// Where the outcome goes.
    pub reply: oneshot::Sender<Result<Done, OrderError>>,
}

/// What the service must be like for an order to be carried out: so that nobody undoes what somebody else did meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It does not matter.
    Any,
    /// There is no such service.
    Absent,
    /// It has not changed since it had this generation.
    Generation(u64),
}

/// What is to be done.
#[derive(Debug)]
pub enum What {
    /// Candidates take the places of what runs: all in one snapshot, or none.
    Deploy(Vec<Wanted>),
    /// An older revision answers again: this one, or the newest that is not the running one.
    Rollback(ServiceName, Option<u64>),
    /// The service goes; even if others call it, when forced.
    Remove(ServiceName, bool),
    /// The rollout goes on to its next step, or to its end.
    Promote(ServiceName, Extent),
    /// The rollout stays where it is.
    Pause(ServiceName),
    /// The rollout goes on.
    Resume(ServiceName),
    /// The candidate goes.
    Abort(ServiceName),
}

/// How far a rollout is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Past the step that it is at.
    Step,
    /// To its end.
    Full,
}

/// A candidate that somebody sent.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The service and its component, which the state folder has.
    pub candidate: Candidate,
    /// Keeps the component there until a revision has it.
    pub held: Arc<Held>,
    /// Deployed even if it breaks callers, or answers recorded requests otherwise.
    pub force: bool,
}

/// An order was carried out. What it says survives the host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    /// The services that it was about.
    pub services: Vec<Standing>,
}

/// How a service stands after an order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// The service.
    pub service: String,
    /// What became of the order.
    pub outcome: Outcome,
    /// The revision that it is about.
    pub revision: Option<u64>,
    /// Its artifact.
    pub digest: Option<String>,
    /// The service's generation from now on.
    pub generation: u64,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The revision answers.
    Promoted,
    /// Exactly this runs already.
    Unchanged,
    /// The revision begins to answer.
    RolloutBegun,
    /// The rollout is at its next step.
    RolloutStep,
    /// The rollout stays where it is.
    RolloutPaused,
    /// The rollout goes on.
    RolloutResumed,
    /// The rollout is over, and the running revision goes on.
    RolloutAborted,
    /// The revision answers again.
    RolledBack,
    /// The service is gone.
    Removed,
}

/// Why an order was not carried out. What runs goes on running.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The candidate was refused.
    #[error("{service}: {error}")]
    Refused {
        /// The service.
        service: ServiceName,
        /// Why, and what caused that.
        error: String,
        /// Whether the host and not the candidate is to blame.
        by_host: bool,
    },
    /// A newer deployment of the same service came.
    #[error("{0}: a newer deployment of the service came before this one was done")]
    Superseded(ServiceName),
    /// It is not known yet how it stands.
    #[error("{0} is not resumed yet after the host's start: try again in a moment")]
    Starting(ServiceName),
    /// There is nothing under that name.
    #[error("there is no service {0}; `skep ls` lists those there are")]
    NoService(ServiceName),
    /// The revision is not kept.
    #[error(
        "{service} has no revision {number} that could be rolled back to; it has {}",
        listed(kept)
    )]
    NoRevision {
        /// The service.
        service: ServiceName,
        /// What was asked for.
        number: u64,
        /// What there is, newest first.
        kept: Vec<u64>,
    },
    /// There is nothing older.
    #[error("{0} has no other revision to roll back to")]
    NothingOlder(ServiceName),
    /// Nothing is being rolled out.
    #[error("{0} has no rollout under way")]
    NoRollout(ServiceName),
    /// Somebody else was faster.
    #[error("{service} has changed meanwhile: its generation is {found}; look at it again")]
    Changed {
        /// The service.
        service: ServiceName,
        /// The generation that it has.
        found: u64,
    },
    /// It can't be written down.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// The host stops.
    #[error("the host is shutting down")]
    Stopping,
}

impl OrderError {
    pub(super) fn refused(service: &ServiceName, error: &DeployError) -> Self {
        Self::Refused {
            service: service.clone(),
            error: crate::telemetry::chain(error),
            by_host: error.is_by_host(),
        }
    }
}

fn listed(numbers: &[u64]) -> String {
    if numbers.is_empty() {
        return "none".to_owned();
    }
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    numbers.join(", ")
}

/// Where orders are given. Clones lead to the same deployer.
#[derive(Debug, Clone)]
pub struct Orders(mpsc::Sender<Order>);

impl Orders {
    /// The two ends.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(ORDERS_MAX);
        (Self(sender), receiver)
    }

    /// Gives an order and waits until it has been carried out. What was begun goes on if nobody waits any more.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn give(
        &self,
        what: What,
        origin: Origin,
        expected: Expected,
    ) -> Result<Done, OrderError> {
        let (reply, outcome) = oneshot::channel();
        let order = Order {
            what,
            origin,
            expected,
            reply,
        };
        let sent = self.0.send(order).await;
        sent.map_err(|_| OrderError::Stopping)?;
        outcome.await.map_err(|_| OrderError::Stopping)?
    }
}
