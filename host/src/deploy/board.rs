//! What operators are told of each service, also of those that never ran.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::arrive::Candidate;
use super::compile::Compiled;
use crate::registry::Revision;

/// How a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The first candidate is on its way.
    Compiling,
    /// A revision answers; an error, if there is one, is about a later candidate.
    Ready,
    /// No candidate has become a revision.
    Failed,
}

impl State {
    /// The word in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compiling => "compiling",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// One service's report.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it stands.
    pub state: State,
    /// Why the newest candidate was refused, if it was.
    pub error: Option<String>,
    /// When that was last changed.
    pub changed: SystemTime,
    /// A newer candidate is being compiled while a revision answers.
    pub deploying: bool,
    /// How long the running revision's component took to compile or load.
    pub took: Option<Duration>,
    /// Whether it came from the cache.
    pub cached: Option<bool>,
}

/// Reports by service, or by file where a service's name is not known.
#[derive(Debug, Default)]
pub struct Board {
    reports: Mutex<BTreeMap<String, Report>>,
    /// Revisions that finish what they began; gone when the last holder has let go.
    retiring: Mutex<Vec<Weak<Revision>>>,
}

impl Board {
    /// All reports.
    pub fn reports(&self) -> BTreeMap<String, Report> {
        self.lock().clone()
    }

    /// Revisions that have been replaced or removed and still have requests.
    pub fn retiring_revisions(&self) -> Vec<Arc<Revision>> {
        let retiring = self.retiring.lock().unwrap_or_else(PoisonError::into_inner);
        retiring
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|revision| revision.leases() > 0)
            .collect()
    }

    pub(super) fn retiring(&self, revision: &Arc<Revision>) {
        let mut retiring = self.retiring.lock().unwrap_or_else(PoisonError::into_inner);
        retiring.retain(|revision| revision.strong_count() > 0);
        retiring.push(Arc::downgrade(revision));
    }

    pub(super) fn compiling(&self, name: &str, candidate: &Candidate) {
        tracing::info!(service = name, digest = %candidate.artifact.digest, "deployment begins");
        let mut reports = self.lock();
        let report = reports
            .entry(name.to_owned())
            .or_insert_with(|| Report::new(State::Compiling));
        report.deploying = true;
        if report.state == State::Failed {
            *report = Report {
                error: report.error.take(),
                ..Report::new(State::Compiling)
            };
        }
        report.changed = SystemTime::now();
    }

    pub(super) fn promoted(&self, revision: &Revision, compiled: Option<&Compiled>) {
        let service = revision.config.name.as_ref();
        let took = compiled.map(|compiled| compiled.took);
        let cached = compiled.map(|compiled| compiled.cached);
        let report = Report {
            deploying: false,
            took,
            cached,
            ..Report::new(State::Ready)
        };
        self.lock().insert(service.to_owned(), report);
        // After the report: who reads this finds the board up to date.
        tracing::info!(
            service,
            revision = revision.number,
            digest = revision.digest,
            took_ms = took.map(|took| took.as_millis()),
            cached,
            "revision promoted"
        );
    }

    /// What runs is what the files say.
    pub(super) fn confirmed(&self, name: &str) {
        if let Some(report) = self.lock().get_mut(name) {
            report.deploying = false;
            report.error = None;
            report.changed = SystemTime::now();
            tracing::info!(
                service = name,
                "the files describe the running revision again"
            );
        }
    }

    /// Why a service's newest candidate was refused, if it was.
    pub(super) fn error(&self, name: &str) -> Option<String> {
        self.lock().get(name)?.error.clone()
    }

    /// The files' candidate is or was on trial, about which the rollout says more.
    pub(super) fn confirmed_quietly(&self, name: &str) {
        if let Some(report) = self.lock().get_mut(name) {
            report.deploying = false;
            report.error = None;
            report.changed = SystemTime::now();
        }
    }

    pub(super) fn failed(&self, name: &str, error: String) {
        let mut reports = self.lock();
        let report = reports
            .entry(name.to_owned())
            .or_insert_with(|| Report::new(State::Failed));
        if report.state != State::Ready {
            report.state = State::Failed;
        }
        report.deploying = false;
        report.error = Some(error);
        report.changed = SystemTime::now();
    }

    /// A candidate that was refused before is refused still, perhaps for another reason.
    pub(super) fn still_refused(&self, name: &str, error: String) {
        if let Some(report) = self.lock().get_mut(name) {
            report.error = Some(error);
        }
    }

    pub(super) fn removed(&self, name: &str) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    fn new(state: State) -> Self {
        let deploying = state == State::Compiling;
        Self {
            state,
            error: None,
            changed: SystemTime::now(),
            deploying,
            took: None,
            cached: None,
        }
    }
}
