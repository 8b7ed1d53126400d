//! An artifact and its configuration, and who is still on it.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::capability::egress::REQUESTS_PER_REVISION_MAX;
use crate::capability::output::{LineBudget, Lines};
use crate::config::ServiceConfig;
use crate::deploy::compile::Contracts;
use crate::replay::kept::Ring;
use crate::request::backend::Backend;
use crate::request::edge::Edge;
use crate::request::run::instances::Instances;
use crate::state::Origin;
use crate::telemetry::tally::Usage;

/// An artifact and its resolved configuration; immutable.
#[derive(Debug)]
pub struct Revision {
    /// Counts from 1 for each service.
    pub number: u64,
    /// `sha256:` and the artifact's digest in hexadecimal.
    pub digest: String,
    /// What the manifest said.
    pub config: Arc<ServiceConfig>,
    /// Who brought it, and from where.
    pub origin: Origin,
    pub(crate) backend: Backend,
    /// What it shares with other services beside HTTP.
    pub(crate) contracts: Contracts,
    /// What is done with the requests of each route, in their order; none if that is nothing.
    pub(super) edges: Vec<Option<Arc<Edge>>>,
    /// Claims on the instance pool that one instance takes; none if it has no instances.
    pub(crate) claims: u32,
    pub(crate) instances: Instances,
    pub(crate) output: Arc<LineBudget>,
    /// What its instances have used.
    pub(crate) usage: Usage,
    /// Outgoing requests of all instances.
    pub(crate) outgoing: Arc<Semaphore>,
    /// The requests that it keeps, if it keeps any.
    pub(crate) kept: Option<Arc<Ring>>,
    leases: TaskTracker,
    lives: TaskTracker,
    /// Cancelled when its requests have had their time.
    late: CancellationToken,
}

/// Keeps a revision from being retired while a request is under way.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) revision: Arc<Revision>,
    _held: TaskTrackerToken,
}

/// What tells one revision from another.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) number: u64,
    pub(crate) digest: String,
    pub(crate) config: Arc<ServiceConfig>,
    pub(crate) origin: Origin,
    pub(crate) edges: Vec<Option<Arc<Edge>>>,
    pub(crate) lines: Lines,
}

impl Revision {
    pub(crate) fn new(
        identity: Identity,
        (backend, contracts): (Backend, Contracts),
        claims: u32,
    ) -> Self {
        let Identity {
            number,
            digest,
            config,
            origin,
            edges,
            lines,
        } = identity;
        let output = LineBudget::new(config.name.as_ref(), number, lines);
        let instances = Instances::new(&config, backend.program().map(|program| &**program));
        Self {
            kept: Ring::of(&config.record),
            number,
            digest,
            config,
            origin,
            backend,
            contracts,
            edges,
            claims,
            instances,
            output,
            usage: Usage::default(),
            outgoing: Arc::new(Semaphore::new(REQUESTS_PER_REVISION_MAX)),
            leases: TaskTracker::new(),
            lives: TaskTracker::new(),
            late: CancellationToken::new(),
        }
    }

    /// The same, to answer once more after it was retired.
    pub(crate) fn again(&self) -> Self {
        let identity = Identity {
            number: self.number,
            digest: self.digest.clone(),
            config: self.config.clone(),
            origin: self.origin.clone(),
            edges: self.edges.clone(),
            lines: self.output.followers().clone(),
        };
        let linked = (self.backend.clone(), self.contracts.clone());
        Self::new(identity, linked, self.claims)
    }

    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        Lease {
            revision: self.clone(),
            _held: self.leases.token(),
        }
    }

    /// Requests that are on this revision now.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// Waits until no request is on this revision. Only for a revision that no snapshot leads to any more.
    pub(crate) async fn drained(&self) {
        self.leases.close();
        self.leases.wait().await;
    }

    /// Ends the requests that are still on it.
    pub(crate) fn cut(&self) {
        self.instances.cut();
        self.late.cancel();
    }

    /// Cancelled when it is cut.
    pub(crate) fn late(&self) -> &CancellationToken {
        &self.late
    }

    /// For as long as an instance lives.
    pub(crate) fn alive(&self) -> TaskTrackerToken {
        self.lives.token()
    }

    /// Waits until no instance of this revision is left. Only for one that is drained.
    pub(crate) async fn gone(&self) {
        self.lives.close();
        self.lives.wait().await;
    }
}
