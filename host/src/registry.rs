//! Name → service: the one place where a request finds a service, and the one swap point.
//!
//! A [`Snapshot`] is immutable. Whoever holds one sees one version of every service; publishing stores a new pointer
//! and never waits for readers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use skep_policy::fit::Misfit;
use skep_policy::name::ServiceName;
use skep_policy::routes::{RouteSpec, RouteTable};
use skep_policy::shares::{self, Ask, Division};

pub use self::plan::Plan;
pub use self::revision::Revision;
pub(crate) use self::revision::{Identity, Lease};
pub(crate) use self::trial::{Course, Trial, TrialSettings};
use crate::config::ServiceConfig;
use crate::config::service::rollout::Sticky;
use crate::pool::{Permits, Share, Stock};
use crate::request::edge::Edge;
use crate::request::gate::Gate;
use crate::request::tolerate::Guards;
use crate::telemetry::edges::Edges;
use crate::telemetry::sockets::Sockets;
use crate::telemetry::tally::Tally;
use crate::telemetry::traffic::Traffic;

mod plan;
mod revision;
mod trial;

/// A named unit of work as one snapshot sees it.
#[derive(Debug)]
pub struct Service {
    /// The service's name.
    pub name: ServiceName,
    /// What the routes lead to, and the limits: those of the running revision, or of the first candidate.
    pub config: Arc<ServiceConfig>,
    /// What answers. None until the first revision is ready.
    pub revision: Option<Arc<Revision>>,
    /// What may answer in its place, for now.
    pub(crate) trial: Option<Arc<Trial>>,
    /// Where it is counted how the revision does, while it is compared with another.
    pub(crate) tally: Option<Arc<Tally>>,
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
    pub(crate) sockets: Sockets,
}

impl Standing {
    pub(crate) fn new(share: Share) -> Self {
        Self {
            gate: Gate::new(),
            share,
            traffic: Traffic::default(),
            calls: Edges::default(),
            guards: Guards::default(),
            sockets: Sockets::default(),
        }
    }
}

/// Where a route leads.
#[derive(Debug)]
pub struct Endpoint {
    /// The service that answers.
    pub service: Arc<Service>,
    /// What is done beside asking it.
    pub(crate) edge: Option<Arc<Edge>>,
    /// The place of the route among the service's.
    pub(crate) at: usize,
}

/// All services and routes at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Where requests go.
    pub routes: RouteTable<Endpoint>,
    /// Every service by its name.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
    /// Whether headers of a request from outside may say which revision of a service answers it.
    pub(crate) reads_headers: bool,
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
        Arc::new(Standing::new(Share::new(&self.stock, self.common.clone())))
    }

    /// Finds out what `change` makes of the services. Nothing is changed yet.
    ///
    /// # Errors
    /// When the routes or the pool don't allow it.
    pub fn plan(
        &self,
        change: impl FnOnce(&mut BTreeMap<ServiceName, Arc<Service>>),
    ) -> Result<Plan, Misfit> {
        let before = self.current.load_full();
        let mut services = before.services.clone();
        change(&mut services);
        let routes = RouteTable::build(services.values().flat_map(|service| {
            let routes = service.config.routes.iter().enumerate();
            routes.map(|(at, route)| {
                let endpoint = Endpoint {
                    service: service.clone(),
                    edge: service.edge(at).cloned(),
                    at,
                };
                (route.clone(), service.name.clone(), endpoint)
            })
        }))?;
        let asks: Vec<Ask> = services.values().map(|service| service.ask()).collect();
        let shares = shares::divide(self.pool_instances, &asks)?;
        Ok(Plan {
            before,
            after: Arc::new(Snapshot {
                routes,
                reads_headers: services.values().any(|service| service.reads_headers()),
                services,
            }),
            shares,
        })
    }

    /// Publishes a plan: all of it at once. False if something else was published since it was made: nothing is changed
    /// then.
    #[must_use]
    pub fn adopt(&self, plan: Plan) -> bool {
        let _one_at_a_time = self.publishing();
        let Plan {
            before,
            after,
            shares,
        } = plan;
        if !Arc::ptr_eq(&self.current.load(), &before) {
            return false;
        }
        self.divide_pool(&after.services, &shares);
        for (name, service) in &before.services {
            let takes_none =
                |after: &Arc<Service>| after.ask() == Ask::NOTHING && service.ask() != Ask::NOTHING;
            if after.services.get(name).is_none_or(takes_none) {
                service.keep_for_the_rest();
            }
        }
        self.current.store(after);
        true
    }

    /// A revision of the service is gone with all its instances: if no other has any, what was left for them goes back.
    pub(crate) fn gone(&self, name: &ServiceName) {
        let _one_at_a_time = self.publishing();
        if let Some(service) = self.current.load().services.get(name)
            && service.ask() == Ask::NOTHING
        {
            service.standing.share.resize(0);
        }
    }

    /// Publishes what `change` makes of the services: all of it at once, or nothing.
    ///
    /// # Errors
    /// When the routes or the pool don't allow it.
    pub fn publish(
        &self,
        change: impl Fn(&mut BTreeMap<ServiceName, Arc<Service>>),
    ) -> Result<(), Misfit> {
        loop {
            if self.adopt(self.plan(&change)?) {
                return Ok(());
            }
        }
    }

    fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn divide_pool(&self, services: &BTreeMap<ServiceName, Arc<Service>>, shares: &Division) {
        for (service, reserved) in services.values().zip(&shares.reserved) {
            // What it had instances for keeps what it needs until the last of them is gone.
            if service.ask() != Ask::NOTHING {
                service.standing.share.resize(*reserved);
            }
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
    }
}

impl Service {
    /// One whose only revision this is.
    pub(crate) fn running(revision: &Arc<Revision>, standing: Arc<Standing>) -> Self {
        Self {
            name: revision.config.name.clone(),
            config: revision.config.clone(),
            revision: Some(revision.clone()),
            trial: None,
            tally: None,
            standing,
        }
    }

    /// The same with a candidate beside the running revision.
    pub(crate) fn with_trial(&self, candidate: &Arc<Revision>, settings: &TrialSettings) -> Self {
        let other = Self {
            tally: Some(settings.candidate.clone()),
            ..Self::running(candidate, self.standing.clone())
        };
        let trial = Trial {
            candidate: Arc::new(other),
            settings: settings.clone(),
        };
        Self {
            trial: Some(Arc::new(trial)),
            tally: Some(settings.running.clone()),
            ..self.without_trial()
        }
    }

    /// The same with its running revision alone.
    pub(crate) fn without_trial(&self) -> Self {
        Self {
            name: self.name.clone(),
            config: self.config.clone(),
            revision: self.revision.clone(),
            trial: None,
            tally: None,
            standing: self.standing.clone(),
        }
    }

    /// What is done with the requests of its route at this place.
    fn edge(&self, at: usize) -> Option<&Arc<Edge>> {
        self.revision.as_ref()?.edges.get(at)?.as_ref()
    }

    /// What is done with the requests of such a route, if the service has it.
    pub(crate) fn edge_of(&self, route: &RouteSpec) -> Option<Option<&Arc<Edge>>> {
        let at = self.config.routes.iter().position(|own| own == route)?;
        Some(self.edge(at))
    }

    /// Whether this is the service as a candidate answers for it.
    pub(crate) fn is_candidate(&self) -> bool {
        self.tally.is_some() && self.trial.is_none()
    }

    fn reads_headers(&self) -> bool {
        let sticky = self.trial.as_ref().map(|trial| &trial.settings.sticky);
        matches!(sticky, Some(Sticky::Cookie | Sticky::Header(_)))
    }

    /// The revisions that answer.
    pub(crate) fn answering(&self) -> Vec<Arc<Revision>> {
        let candidate = self.trial.as_ref().map(|trial| &trial.candidate);
        let candidate = candidate.and_then(|service| service.revision.as_ref());
        self.revision.iter().chain(candidate).cloned().collect()
    }

    /// What this service needs of the pool, in claims.
    fn ask(&self) -> Ask {
        let claims = self.answering().into_iter().map(|revision| revision.claims);
        let unknown = u32::from(self.config.has_instances());
        let each = claims.max().unwrap_or(unknown);
        if each == 0 {
            return Ask::NOTHING;
        }
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
