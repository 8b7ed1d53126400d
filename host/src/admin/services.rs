//! What the API says of services, also of drop-ins that never became one and of services on their way out.
//!
//! The values of a guest's environment are never shown: they may be secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::rollout::Rollout;
use crate::capability::functions;
use crate::config::ServiceConfig;
use crate::deploy::board::{Report, State};
use crate::fault::Blame;
use crate::host::Core;
use crate::registry::{Revision, Service, Snapshot};
use crate::telemetry::traffic::Traffic;

/// All services.
#[derive(Debug, Serialize)]
pub(super) struct List {
    services: Vec<Summary>,
}

/// One service in short.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    /// `ready`, `unhealthy` if it is but its checks fail, `degraded` if something is missing, `compiling`, `failed` or
    /// `retiring`.
    state: &'static str,
    /// Services that it calls and that have no running revision.
    missing: Vec<String>,
    /// Why functions that it imports from other services can't be called, a sentence each.
    unbound: Vec<String>,
    revision: Option<u64>,
    digest: Option<String>,
    kind: Option<&'static str>,
    /// Changes with every change of the service.
    generation: Option<u64>,
    /// A newer candidate is on its way.
    deploying: bool,
    /// Why the newest candidate was refused.
    error: Option<String>,
    routes: Vec<String>,
    /// Whether each request has a fresh instance for now, since one that is used again has failed.
    stepped_down: bool,
    /// `closed`, `open` or `half_open`, if the service has a breaker.
    breaker: Option<skep_policy::breaker::State>,
    in_flight: u32,
    queued: u32,
    requests: u64,
    /// Requests that failed by the guest's or the host's fault.
    faults: u64,
    p99_ms: Option<f64>,
    /// Linear memory that its instances hold.
    memory_bytes: u64,
    /// The newer revision that gets a part of the requests, if there is one.
    rollout: Option<Rollout>,
}

/// Everything about one service.
#[derive(Debug, Serialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    summary: Summary,
    deployment: Option<Deployment>,
    config: Option<Config>,
    instances: Option<Instances>,
    traffic: Option<TrafficFigures>,
    retiring: Vec<Retiring>,
}

#[derive(Debug, Serialize)]
struct Deployment {
    changed_unix_seconds: f64,
    compile_ms: Option<f64>,
    cached: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Config {
    /// Where what answers is: the component, the servers, or the folder.
    component: String,
    routes: Vec<skep_policy::routes::RouteSpec>,
    limits: Limits,
    /// Names only.
    env: Vec<String>,
    allow: crate::config::Allow,
}

#[derive(Debug, Serialize)]
struct Limits {
    memory_bytes: u64,
    cpu_ms: f64,
    timeout_ms: f64,
    concurrency: u32,
    queue: u32,
    body_bytes: u64,
    adaptive: bool,
    priority: u8,
}

#[derive(Debug, Serialize)]
struct Instances {
    /// Requests that an instance serves in its life.
    reuse: u32,
    /// Requests that it serves at once.
    concurrency: u32,
    claims_per_instance: u32,
    claims_in_use: u32,
    /// Requests on the running revision.
    leases: usize,
}

#[derive(Debug, Serialize)]
struct TrafficFigures {
    active: u64,
    statuses: Vec<StatusCount>,
    faults: Vec<FaultCount>,
    late_faults: u64,
    response_body_bytes: u64,
    cpu_ms: f64,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct StatusCount {
    status: u16,
    count: u64,
}

#[derive(Debug, Serialize)]
struct FaultCount {
    cause: &'static str,
    blame: &'static str,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Retiring {
    revision: u64,
    digest: String,
    leases: usize,
}

/// What is known at one moment.
struct Moment {
    reports: BTreeMap<String, Report>,
    snapshot: Arc<Snapshot>,
    retiring: Vec<Arc<Revision>>,
}

/// Everything that is known under one name.
#[derive(Default)]
struct Known<'a> {
    report: Option<&'a Report>,
    service: Option<&'a Arc<Service>>,
    missing: Vec<String>,
    unbound: Vec<String>,
    generation: Option<u64>,
    retiring: Vec<&'a Arc<Revision>>,
}

pub(super) fn list(core: &Core) -> List {
    let moment = Moment::of(core);
    List {
        services: moment
            .by_name(core)
            .iter()
            .map(|(name, known)| known.summary(name))
            .collect(),
    }
}

/// Whether no service that the host can't do without is unhealthy.
pub(super) fn are_required_ones_well(core: &Core) -> bool {
    let snapshot = core.registry.snapshot();
    let is_required = |service: &Service| {
        let health = service.config.tolerance.health.as_ref();
        health.is_some_and(|health| health.required)
    };
    let mut services = snapshot.services.values();
    !services.any(|service| is_required(service) && !service.standing.guards.is_healthy())
}

/// None if nothing is known under `name`.
pub(super) fn detail(core: &Core, name: &str) -> Option<Detail> {
    let moment = Moment::of(core);
    moment
        .by_name(core)
        .get(name)
        .map(|known| known.detail(name))
}

impl Moment {
    fn of(core: &Core) -> Self {
        Self {
            reports: core.board.reports(),
            snapshot: core.registry.snapshot(),
            retiring: core.board.retiring_revisions(),
        }
    }

    fn by_name(&self, core: &Core) -> BTreeMap<&str, Known<'_>> {
        let mut all: BTreeMap<&str, Known<'_>> = BTreeMap::new();
        for (name, report) in &self.reports {
            all.entry(name).or_default().report = Some(report);
        }
        for service in self.snapshot.services.values() {
            let known = all.entry(service.name.as_ref()).or_default();
            known.service = Some(service);
            let missing = self.snapshot.missing(service);
            known.missing = missing.map(ToString::to_string).collect();
            known.unbound = functions::unbound(service, &self.snapshot);
        }
        for revision in &self.retiring {
            all.entry(revision.config.name.as_ref())
                .or_default()
                .retiring
                .push(revision);
        }
        for (name, known) in &mut all {
            known.generation = core.state.generation(name);
        }
        all
    }
}

impl Known<'_> {
    fn summary(&self, name: &str) -> Summary {
        let revision = self.revision();
        let traffic = self.service.map(|service| &service.standing.traffic);
        let (in_flight, queued) = self
            .service
            .map_or((0, 0), |service| service.standing.gate.load());
        Summary {
            name: name.to_owned(),
            state: self.state(),
            missing: self.missing.clone(),
            unbound: self.unbound.clone(),
            revision: revision.map(|revision| revision.number),
            digest: revision.map(|revision| revision.digest.clone()),
            kind: revision.map(|revision| revision.backend.describe()),
            generation: self.generation,
            deploying: self.report.is_some_and(|report| report.deploying),
            error: self.report.and_then(|report| report.error.clone()),
            routes: self
                .service
                .map(|service| routes(&service.config))
                .unwrap_or_default(),
            stepped_down: revision.is_some_and(|revision| revision.instances.is_stepped_down()),
            breaker: self
                .service
                .and_then(|service| service.standing.guards.breaker_state()),
            in_flight,
            queued,
            requests: traffic.map_or(0, Traffic::begun),
            faults: traffic.map_or(0, not_by_callers),
            p99_ms: traffic.and_then(|traffic| quantile_ms(traffic, 0.99)),
            memory_bytes: traffic.map_or(0, Traffic::memory),
            rollout: self.service.and_then(|service| Rollout::of(service)),
        }
    }

    fn state(&self) -> &'static str {
        let state = self.state_of_its_own();
        let is_healthy = |service: &Arc<Service>| service.standing.guards.is_healthy();
        if state == State::Ready.as_str() && !self.service.is_none_or(is_healthy) {
            return "unhealthy";
        }
        let is_whole = self.missing.is_empty() && self.unbound.is_empty();
        if state == State::Ready.as_str() && !is_whole {
            return "degraded";
        }
        state
    }

    fn state_of_its_own(&self) -> &'static str {
        match (self.report, self.service) {
            (Some(report), _) => report.state.as_str(),
            (None, Some(service)) if service.revision.is_some() => State::Ready.as_str(),
            (None, Some(_)) => State::Compiling.as_str(),
            (None, None) => "retiring",
        }
    }

    /// The one that answers, or else the newest of those that finish what they began.
    fn revision(&self) -> Option<&Arc<Revision>> {
        let current = self.service.and_then(|service| service.revision.as_ref());
        current.or_else(|| {
            self.retiring
                .iter()
                .copied()
                .max_by_key(|revision| revision.number)
        })
    }

    fn detail(&self, name: &str) -> Detail {
        let config = self
            .service
            .map(|service| &service.config)
            .or_else(|| self.revision().map(|revision| &revision.config));
        Detail {
            summary: self.summary(name),
            deployment: self.report.map(|report| Deployment {
                changed_unix_seconds: unix_seconds(report.changed),
                compile_ms: report.took.map(millis),
                cached: report.cached,
            }),
            config: config.map(|config| Config::of(config)),
            instances: self.service.and_then(|service| Instances::of(service)),
            traffic: self
                .service
                .map(|service| TrafficFigures::of(&service.standing.traffic)),
            retiring: self
                .retiring
                .iter()
                .map(|revision| Retiring::of(revision))
                .collect(),
        }
    }
}

impl Config {
    fn of(config: &ServiceConfig) -> Self {
        let limits = &config.limits;
        Self {
            component: config.target.to_string(),
            routes: config.routes.clone(),
            limits: Limits {
                memory_bytes: limits.memory,
                cpu_ms: millis(limits.cpu),
                timeout_ms: millis(limits.timeout),
                concurrency: limits.concurrency,
                queue: limits.queue,
                body_bytes: limits.body,
                adaptive: limits.adaptive,
                priority: limits.priority,
            },
            env: config.env.keys().cloned().collect(),
            allow: config.allow.clone(),
        }
    }
}

impl Instances {
    fn of(service: &Service) -> Option<Self> {
        let revision = service.revision.as_ref()?;
        Some(Self {
            reuse: revision.instances.reuse.requests,
            concurrency: revision.instances.reuse.at_once,
            claims_per_instance: revision.claims,
            claims_in_use: service.standing.share.held(),
            leases: revision.leases(),
        })
    }
}

impl TrafficFigures {
    fn of(traffic: &Traffic) -> Self {
        let fault = |(cause, count): (crate::fault::Cause, u64)| FaultCount {
            cause: cause.as_str(),
            blame: cause.blame().as_str(),
            count,
        };
        Self {
            active: traffic.active(),
            statuses: traffic
                .statuses()
                .into_iter()
                .map(|(status, count)| StatusCount { status, count })
                .collect(),
            faults: traffic.faults().into_iter().map(fault).collect(),
            late_faults: traffic.late_faults(),
            response_body_bytes: traffic.bytes(),
            cpu_ms: millis(traffic.cpu()),
            p50_ms: quantile_ms(traffic, 0.5),
            p90_ms: quantile_ms(traffic, 0.9),
            p99_ms: quantile_ms(traffic, 0.99),
        }
    }
}

impl Retiring {
    fn of(revision: &Revision) -> Self {
        Self {
            revision: revision.number,
            digest: revision.digest.clone(),
            leases: revision.leases(),
        }
    }
}

/// The routes as a person writes them: `GET,HEAD shop.example/api/{*rest}`.
pub(crate) fn routes(config: &ServiceConfig) -> Vec<String> {
    let show = |route: &skep_policy::routes::RouteSpec| {
        let methods = route.methods.as_ref().map(|methods| {
            let methods: Vec<&str> = methods
                .iter()
                .map(skep_policy::routes::Method::as_str)
                .collect();
            format!("{} ", methods.join(","))
        });
        let host = route.host.as_ref().map(ToString::to_string);
        format!(
            "{}{}{}",
            methods.unwrap_or_default(),
            host.unwrap_or_default(),
            route.path
        )
    };
    config.routes.iter().map(show).collect()
}

fn not_by_callers(traffic: &Traffic) -> u64 {
    traffic
        .faults()
        .into_iter()
        .filter(|(cause, _)| cause.blame() != Blame::Caller)
        .map(|(_, count)| count)
        .sum()
}

pub(super) fn quantile_ms(traffic: &Traffic, quantile: f64) -> Option<f64> {
    traffic.duration_quantile(quantile).map(millis)
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
