//! The swap: a new snapshot in which new revisions answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_policy::fit::{self, Misfit, Routes};
use skep_policy::name::ServiceName;

use super::arrive::Candidate;
use crate::config::ServiceConfig;
use crate::registry::{Registry, Revision, Service, Snapshot};

/// Whether this very candidate is what answers.
pub(super) fn runs(registry: &Registry, candidate: &Candidate) -> bool {
    let snapshot = registry.snapshot();
    let service = snapshot.services.get(&candidate.config.name);
    let revision = service.and_then(|service| service.revision.as_ref());
    revision.is_some_and(|revision| {
        *revision.config == candidate.config
            && revision.digest == candidate.artifact.digest.to_string()
    })
}

/// The routes of all services in a snapshot.
pub(super) fn stands(snapshot: &Snapshot) -> Routes<'_> {
    let services = snapshot.services.values();
    services
        .map(|service| (&service.name, service.config.routes.as_slice()))
        .collect()
}

/// Those of `configs` that don't fit beside what `stands` and beside each other.
pub(super) fn misfits<'a>(
    registry: &Registry,
    stands: &Routes<'a>,
    configs: impl IntoIterator<Item = &'a ServiceConfig>,
) -> BTreeMap<ServiceName, Misfit> {
    let configs = configs.into_iter();
    let candidates = configs
        .map(|config| (&config.name, config.routes.as_slice()))
        .collect();
    let misfits = fit::misfits(registry.pool_instances(), stands, &candidates);
    misfits
        .into_iter()
        .map(|(name, misfit)| (name.clone(), misfit))
        .collect()
}

/// Reserves the routes of services that have no revision yet, so that their callers are told to come back. A service
/// whose routes are another's until that one changes as well has none reserved.
pub(super) fn reserve(registry: &Registry, configs: &[Arc<ServiceConfig>]) {
    let snapshot = registry.snapshot();
    let answers = |config: &ServiceConfig| {
        let service = snapshot.services.get(&config.name);
        service.is_some_and(|service| service.revision.is_some())
    };
    let new = configs.iter().filter(|config| !answers(config));
    let new: Vec<&Arc<ServiceConfig>> = new.collect();
    if new.is_empty() {
        return;
    }
    let misfits = misfits(
        registry,
        &stands(&snapshot),
        new.iter().map(|config| &***config),
    );
    let published = registry.publish(|services| {
        for config in new {
            if misfits.contains_key(&config.name) {
                continue;
            }
            let before = services.get(&config.name);
            let standing =
                before.map_or_else(|| registry.standing(), |service| service.standing.clone());
            let service = Service {
                name: config.name.clone(),
                config: config.clone(),
                revision: None,
                standing,
            };
            services.insert(config.name.clone(), Arc::new(service));
        }
    });
    if let Err(error) = published {
        // What was no misfit fits; the services come up all the same.
        tracing::error!(%error, "routes could not be reserved");
    }
}

/// Puts `revisions` in the place of those that answer now, which are returned. All in one snapshot, or none.
pub(super) fn publish(
    registry: &Registry,
    revisions: &[Arc<Revision>],
) -> Result<Vec<Arc<Revision>>, Misfit> {
    let mut replaced = Vec::new();
    registry.publish(|services| {
        for revision in revisions {
            let name = revision.config.name.clone();
            let before = services.remove(&name);
            let standing = before
                .as_ref()
                .map_or_else(|| registry.standing(), |service| service.standing.clone());
            replaced.extend(before.and_then(|service| service.revision.clone()));
            let service = Service {
                name: name.clone(),
                config: revision.config.clone(),
                revision: Some(revision.clone()),
                standing,
            };
            services.insert(name, Arc::new(service));
        }
    })?;
    Ok(replaced)
}

/// Takes services out, and returns the revisions that answered.
pub(super) fn remove(registry: &Registry, names: &[&str]) -> Result<Vec<Arc<Revision>>, Misfit> {
    let mut removed = Vec::new();
    registry.publish(|services| {
        services.retain(|name, service| {
            let stays = !names.contains(&name.as_str());
            if !stays {
                removed.extend(service.revision.clone());
            }
            stays
        });
    })?;
    Ok(removed)
}
