//! Name → service: the one place where a request finds a service, and the one swap point.
//!
//! A [`Snapshot`] is immutable. Whoever holds one sees one version of every service; publishing stores a new pointer
//! and never waits for readers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use skep_policy::fit::Misfit;
use skep_policy::name::ServiceName;
use skep_policy::routes::RouteTable;
use skep_policy::shares::{self, Ask, TooManyServices};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::capability::egress::REQUESTS_PER_REVISION_MAX;
use crate::capability::output::LineBudget;
use crate::config::ServiceConfig;
use crate::deploy::compile::Contracts;
use crate::pool::{Permits, Share, Stock};
use crate::request::gate::Gate;
use crate::request::run::instances::Instances;
use crate::request::run::program::Program;
use crate::request::tolerate::Guards;
use crate::telemetry::edges::Edges;
use crate::telemetry::traffic::Traffic;

/// A named unit of work as one snapshot sees it.
#[derive(Debug)]
pub struct Service {
    /// The service's name.
    pub name: ServiceName,
    /// What the routes lead to, and the limits: those of the running revision, or of the first candidate.
    pub config: Arc<ServiceConfig>,
    /// What answers. None until the first revision is ready.
    pub revision: Option<Arc<Revision>>,
    /// What lives longer than revisions.
    pub(crate) standing: Arc<Standing>,
}

/// What a service keeps from revision to revision.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) gate: Gate,
    pub(crate) share: Share,
    pub(crate) traffic: Traffic,
    /// What the service calls.
    pub(crate) calls: Edges,
    pub(crate) guards: Guards,
}

/// An artifact and its resolved configuration; immutable.
#[derive(Debug)]
pub struct Revision {
    /// Counts from 1 for each service.
    pub number: u64,
    /// `sha256:` and the artifact's digest in hexadecimal.
    pub digest: String,
    /// What the manifest said.
    pub config: Arc<ServiceConfig>,
    pub(crate) program: Program,
    /// What it shares with other services beside HTTP.
    pub(crate) contracts: Contracts,
    /// Claims on the instance pool that one instance takes.
    pub(crate) claims: u32,
    pub(crate) instances: Instances,
    pub(crate) output: Arc<LineBudget>,
    /// Outgoing requests of all instances.
    pub(crate) outgoing: Arc<Semaphore>,
    leases: TaskTracker,
}

/// Keeps a revision from being retired while a request is under way.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) revision: Arc<Revision>,
    _held: TaskTrackerToken,
}

impl Revision {
    pub(crate) fn new(
        number: u64,
        digest: String,
        config: Arc<ServiceConfig>,
        (program, contracts): (Program, Contracts),
        claims: u32,
    ) -> Self {
        let output = LineBudget::new(config.name.as_ref(), number);
        let instances = Instances::new(&config, &program);
        Self {
            number,
            digest,
            config,
            program,
            contracts,
            claims,
            instances,
            output,
            outgoing: Arc::new(Semaphore::new(REQUESTS_PER_REVISION_MAX)),
            leases: TaskTracker::new(),
        }
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
}

/// All services and routes at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Where requests go.
    pub routes: RouteTable<Arc<Service>>,
    /// Every service by its name.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
}

impl Snapshot {
    /// The services that `service` may call and that have no running revision.
    pub(crate) fn missing<'a>(
        &'a self,
        service: &'a Service,
    ) -> impl Iterator<Item = &'a ServiceName> {
        let is_there = |name: &ServiceName| {
            let found = self.services.get(name);
            found.is_some_and(|found| found.revision.is_some())
        };
        let needed = service.config.depends_on().into_iter();
        needed.filter(move |name| !is_there(name))
    }
}

/// Holds the current snapshot.
#[derive(Debug)]
pub struct Registry {
    current: ArcSwap<Snapshot>,
    publishing: Mutex<()>,
    pool_instances: u32,
    stock: Arc<Stock>,
    common: Arc<Permits>,
}

impl Registry {
    /// An empty registry that divides `pool_instances` among its services.
    pub fn new(pool_instances: u32) -> Self {
        let stock = Stock::new(pool_instances);
        Self {
            current: ArcSwap::default(),
            publishing: Mutex::new(()),
            pool_instances,
            common: Permits::in_common(&stock),
            stock,
        }
    }

    /// The services and routes of this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Claims on the instance pool in all.
    pub(crate) fn pool_instances(&self) -> u32 {
        self.pool_instances
    }

    /// Claims on the instance pool in all, and those held of what no service has to itself.
    pub fn pool_load(&self) -> (u32, u32) {
        (self.pool_instances, self.common.held())
    }

    pub(crate) fn standing(&self) -> Arc<Standing> {
        Arc::new(Standing {
            gate: Gate::new(),
            share: Share::new(&self.stock, self.common.clone()),
            traffic: Traffic::default(),
            calls: Edges::default(),
            guards: Guards::default(),
        })
    }

    /// Publishes what `change` makes of the services: all of it at once, or nothing.
    ///
    /// # Errors
    /// When the routes or the pool don't allow it.
    pub fn publish(
        &self,
        change: impl FnOnce(&mut BTreeMap<ServiceName, Arc<Service>>),
    ) -> Result<Arc<Snapshot>, Misfit> {
        let _one_at_a_time = self.publishing();
        let before = self.current.load().services.clone();
        let mut services = before.clone();
        change(&mut services);
        let routes = RouteTable::build(services.values().flat_map(|service| {
            service
                .config
                .routes
                .iter()
                .map(|route| (route.clone(), service.name.clone(), service.clone()))
        }))?;
        self.divide_pool(&services)?;
        for (name, service) in &before {
            if !services.contains_key(name) {
                service.keep_for_the_rest();
            }
        }
        let snapshot = Arc::new(Snapshot { routes, services });
        self.current.store(snapshot.clone());
        Ok(snapshot)
    }

    fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn divide_pool(
        &self,
        services: &BTreeMap<ServiceName, Arc<Service>>,
    ) -> Result<(), TooManyServices> {
        let asks: Vec<Ask> = services.values().map(|service| service.ask()).collect();
        let shares = shares::divide(self.pool_instances, &asks)?;
        for (service, reserved) in services.values().zip(&shares.reserved) {
            service.standing.share.resize(*reserved);
            service.standing.guards.configure(&service.config.tolerance);
            service.standing.calls.configure(&service.config.callees);
            service.standing.gate.configure(&service.config.limits);
            if let Some(revision) = service
                .revision
                .as_ref()
                .filter(|_| service.standing.share.owes())
            {
                revision.instances.let_idle_go();
            }
        }
        self.common.resize(shares.common);
        Ok(())
    }
}

impl Service {
    /// What this service needs of the pool, in claims.
    fn ask(&self) -> Ask {
        let each = self.revision.as_ref().map_or(1, |revision| revision.claims);
        Ask {
            least: each,
            most: self.config.limits.concurrency.saturating_mul(each),
        }
    }

    /// Leaves a service that goes what the requests that are still here can use, and one instance for those that are
    /// about to come in. That goes back with the last of them.
    fn keep_for_the_rest(&self) {
        let (working, waiting) = self.standing.gate.load();
        let Ask { least, most } = self.ask();
        let rest = (working + waiting)
            .saturating_mul(least)
            .clamp(least, most.max(least));
        self.standing.share.shrink(rest);
    }
}
