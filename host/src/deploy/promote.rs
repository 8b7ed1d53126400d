//! The swap: a new snapshot in which new revisions answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_policy::fit::{self, Misfit, Routes};
use skep_policy::name::ServiceName;

use super::arrive::Candidate;
use super::desk::Desk;
use crate::config::ServiceConfig;
use crate::registry::{Registry, Revision, Service, Snapshot};

type Services = BTreeMap<ServiceName, Arc<Service>>;

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

/// The routes of the services in a snapshot that answer, and of those that shall come up.
pub(super) fn stands<'a>(snapshot: &'a Snapshot, desk: &Desk) -> Routes<'a> {
    let services = snapshot.services.values();
    services
        .filter(|service| service.revision.is_some() || desk.awaits(&service.name))
        .map(|service| (&service.name, service.config.routes.as_slice()))
        .collect()
}

/// Takes out the services that nobody waits for any more and whose routes are wanted, or whose place.
fn make_room(registry: &Registry, desk: &Desk, services: &mut Services, come: &[&ServiceName]) {
    let is_left_over = |service: &Service| {
        let name = &service.name;
        service.revision.is_none() && !desk.awaits(name) && !come.contains(&name)
    };
    let (left_over, others): (Vec<_>, Vec<_>) =
        services.values().partition(|service| is_left_over(service));
    if left_over.is_empty() {
        return;
    }
    let others = others.into_iter();
    let others = others.map(|service| (&service.name, service.config.routes.as_slice()));
    let configs = left_over.into_iter().map(|service| &*service.config);
    let in_the_way = misfits(registry, &others.collect(), configs);
    services.retain(|name, _| !in_the_way.contains_key(name));
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
pub(super) fn reserve(registry: &Registry, desk: &Desk, configs: &[Arc<ServiceConfig>]) {
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
        &stands(&snapshot, desk),
        new.iter().map(|config| &***config),
    );
    let come: Vec<&ServiceName> = new.iter().map(|config| &config.name).collect();
    let published = registry.publish(|services| {
        for config in &new {
            if misfits.contains_key(&config.name) {
                continue;
            }
            let before = services.get(&config.name);
            let standing =
                before.map_or_else(|| registry.standing(), |service| service.standing.clone());
            let service = Service {
                name: config.name.clone(),
                config: (*config).clone(),
                revision: None,
                standing,
            };
            services.insert(config.name.clone(), Arc::new(service));
        }
        make_room(registry, desk, services, &come);
    });
    if let Err(error) = published {
        // What was no misfit fits; the services come up all the same.
        tracing::error!(%error, "routes could not be reserved");
    }
}

/// Puts `revisions` in the place of those that answer now, which are returned. All in one snapshot, or none.
pub(super) fn publish(
    registry: &Registry,
    desk: &Desk,
    revisions: &[Arc<Revision>],
) -> Result<Vec<Arc<Revision>>, Misfit> {
    let mut replaced = Vec::new();
    let names = revisions.iter().map(|revision| &revision.config.name);
    let come: Vec<&ServiceName> = names.collect();
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
        make_room(registry, desk, services, &come);
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
