//! Requests that services have answered, kept with all that their guests were told, and how candidates answer them.
//!
//! What is kept is in memory alone and bounded. A replayed guest reaches nobody: what it asks for is answered as it was
//! when the request was recorded, or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_policy::limits::Limits;
use skep_policy::name::ServiceName;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::budget::Budget;
use self::report::{Differs, Report};
use crate::engine::{CLAIMS_PER_INSTANCE_MAX, REPLAYS_MAX};
use crate::pool::{Permits, Share, Stock};
use crate::registry::{Revision, Standing};

mod budget;
pub(crate) mod kept;
pub(crate) mod mirror;
pub(crate) mod notebook;
pub mod report;
pub(crate) mod script;
mod tee;
pub(crate) mod told;

/// Bytes of a request's body, of its answer's, and of each answer to its guest. What has longer ones, the answer apart,
/// is not kept.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes that all services together keep.
const BYTES_MAX: usize = 256 << 20;
/// Bytes that wait for all candidates together.
const MIRRORED_BYTES_MAX: usize = 64 << 20;

/// What the host keeps of all services' recordings and replays.
#[derive(Debug)]
pub struct Replays {
    memory: Arc<Budget>,
    turns: Semaphore,
    /// Turns that mirrors may have at a time, so that deployments always have some.
    of_mirrors: Semaphore,
    /// What recordings on their way to candidates may take.
    mirrored: Arc<Budget>,
    stock: Arc<Stock>,
    claims: Arc<Permits>,
    reports: Mutex<BTreeMap<ServiceName, Arc<Report>>>,
}

impl Default for Replays {
    fn default() -> Self {
        let claims_max = REPLAYS_MAX * CLAIMS_PER_INSTANCE_MAX;
        let stock = Stock::new(claims_max);
        let claims = Permits::in_common(&stock);
        claims.resize(claims_max);
        Self {
            memory: Budget::new(BYTES_MAX),
            turns: Semaphore::new(REPLAYS_MAX as usize),
            of_mirrors: Semaphore::new(REPLAYS_MAX as usize / 2),
            mirrored: Budget::new(MIRRORED_BYTES_MAX),
            stock,
            claims,
            reports: Mutex::default(),
        }
    }
}

impl Replays {
    /// How the newest candidate of a service answered, if there was one and anything to answer.
    #[must_use]
    pub fn report(&self, name: &str) -> Option<Arc<Report>> {
        let reports = self.reports();
        let mut found = reports.iter();
        let found = found.find(|(other, _)| other.as_str() == name);
        found.map(|(_, report)| report.clone())
    }

    /// Keeps the report in the place of the one before, and only those of services that there are.
    pub(crate) fn keep(&self, report: Report, is_there: impl Fn(&ServiceName) -> bool) {
        let mut reports = self.reports();
        reports.retain(|name, _| is_there(name));
        reports.insert(report.service.clone(), Arc::new(report));
    }

    /// Adds to the candidate's report, in the place of the one before if that is another's.
    pub(crate) fn add(&self, candidate: &Revision, running: &Revision, one: Option<Differs>) {
        let mut reports = self.reports();
        let new = || Arc::new(Report::new(candidate, running));
        let report = reports.entry(candidate.config.name.clone());
        let report = report.or_insert_with(new);
        if report.candidate.revision != candidate.number {
            *report = new();
        }
        Arc::make_mut(report).add(one);
    }

    /// The right to have one instance, outside every service's share of the pool.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// As [`Replays::turn`], for what is mirrored: to be held besides.
    pub(crate) async fn turn_of_mirror(&self) -> Option<SemaphorePermit<'_>> {
        self.of_mirrors.acquire().await.ok()
    }

    /// What a service has that answers one recorded request and nothing else.
    pub(crate) fn standing(&self, limits: &Limits) -> Arc<Standing> {
        let standing = Standing::new(Share::new(&self.stock, self.claims.clone()));
        standing.gate.configure(limits);
        Arc::new(standing)
    }

    fn reports(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Arc<Report>>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
