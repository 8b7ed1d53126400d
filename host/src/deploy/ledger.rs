//! What the state folder says of every service. Each change is written down before it is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use skep_policy::name::ServiceName;

use super::arrive::Candidate;
use crate::deploy::compile::Digest;
use crate::registry::Revision;
use crate::state::{
    Commit, Happening, Kind, Origin, State, StateError, StoredRevision, StoredService,
};

/// The rows of the database, as this process last wrote them.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) state: Arc<State>,
    rows: BTreeMap<ServiceName, StoredService>,
    /// Revisions of a service that are kept beside the live ones.
    history: usize,
}

impl Ledger {
    pub(super) async fn open(state: Arc<State>, history: usize) -> Result<Self, StateError> {
        let rows = state.services().await?;
        let rows = rows.into_iter().map(|row| (row.name.clone(), row));
        Ok(Self {
            rows: rows.collect(),
            state,
            history,
        })
    }

    /// The service's row; a new one if it has none.
    pub(super) fn row(&self, name: &ServiceName) -> StoredService {
        let row = self.rows.get(name).cloned();
        row.unwrap_or_else(|| StoredService::new(name.clone()))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &StoredService> {
        self.rows.values()
    }

    /// Writes rows, the revisions that are new in them, and what happened.
    pub(super) async fn commit(
        &mut self,
        mut rows: Vec<StoredService>,
        revisions: Vec<(ServiceName, StoredRevision)>,
        happenings: Vec<Happening>,
    ) -> Result<(), StateError> {
        for row in &mut rows {
            row.generation += 1;
        }
        let kept = |row: &StoredService| {
            let is_there = row.current.is_some();
            if is_there { self.history } else { 0 }
        };
        let commit = Commit {
            revisions,
            services: rows.iter().map(|row| (row.clone(), kept(row))).collect(),
            happenings,
        };
        self.state.commit(commit).await?;
        self.rows
            .extend(rows.into_iter().map(|row| (row.name.clone(), row)));
        Ok(())
    }

    /// Writes down what changed nothing. That it can't be is no reason to stop.
    pub(super) async fn note(&self, happening: Happening) {
        let commit = Commit {
            happenings: vec![happening],
            ..Commit::default()
        };
        if let Err(error) = self.state.commit(commit).await {
            let error = crate::telemetry::chain(&error);
            tracing::error!(error, "an event could not be written down");
        }
    }
}

/// What files describe, to tell whether they have changed since they were last taken.
pub(super) fn fingerprint(candidate: &Candidate) -> Digest {
    #[derive(Serialize)]
    struct Described<'a> {
        digest: &'a Digest,
        config: &'a crate::config::ServiceConfig,
    }
    let described = Described {
        digest: &candidate.artifact.digest,
        config: &candidate.config,
    };
    // Names and numbers: this can't fail. If it did, files would be taken once more.
    Digest::of(&serde_json::to_vec(&described).unwrap_or_default())
}

/// The record of a revision.
pub(super) fn record(revision: &Revision, digest: Digest) -> (ServiceName, StoredRevision) {
    let record = StoredRevision {
        number: revision.number,
        digest,
        config: (*revision.config).clone(),
        origin: revision.origin.clone(),
    };
    (revision.config.name.clone(), record)
}

/// Something that happened to a revision.
pub(super) fn happened(revision: &Revision, kind: Kind, origin: &Origin) -> Happening {
    Happening::new(revision.config.name.as_str(), kind)
        .of(revision.number, &revision.digest)
        .by(origin)
}
