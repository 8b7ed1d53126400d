//! The swap: a new snapshot in which the new revision answers.

use std::sync::Arc;

use skep_policy::routes::RouteTable;
use skep_policy::shares;

use super::arrive::Candidate;
use crate::config::ServiceConfig;
use crate::host::Core;
use crate::registry::{PublishError, Registry, Revision, Service};

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

/// Whether a service could be published beside the others as they are now.
pub(super) fn fits(core: &Core, config: &ServiceConfig) -> Result<(), PublishError> {
    let snapshot = core.registry.snapshot();
    let others = snapshot.services.values();
    let others = others.filter(|service| service.name != config.name);
    let mut all: Vec<&ServiceConfig> = others.map(|service| &*service.config).collect();
    all.push(config);
    RouteTable::build(all.iter().flat_map(|config| {
        let routes = config.routes.iter();
        routes.map(|route| (route.clone(), config.name.clone(), ()))
    }))?;
    let asked: Vec<u32> = all.iter().map(|config| config.limits.concurrency).collect();
    shares::divide(core.config.pool.instances, &asked)?;
    Ok(())
}

/// Finds out before anything is compiled whether a candidate fits beside the others, and reserves the routes of a
/// service that has no revision yet, so that its callers are told to come back.
pub(super) fn announce(core: &Core, config: &Arc<ServiceConfig>) -> Result<(), PublishError> {
    fits(core, config)?;
    let registry = &core.registry;
    registry.publish(|services| {
        let before = services.get(&config.name);
        if before.is_some_and(|service| service.revision.is_some()) {
            return;
        }
        let standing =
            before.map_or_else(|| registry.standing(), |service| service.standing.clone());
        let service = Service {
            name: config.name.clone(),
            config: config.clone(),
            revision: None,
            standing,
        };
        services.insert(config.name.clone(), Arc::new(service));
    })?;
    Ok(())
}

/// Puts `revision` in the place of the one that answers now, which is returned.
pub(super) fn publish(
    registry: &Registry,
    revision: Arc<Revision>,
) -> Result<Option<Arc<Revision>>, PublishError> {
    let name = revision.config.name.clone();
    let mut replaced = None;
    registry.publish(|services| {
        let before = services.remove(&name);
        let standing = before
            .as_ref()
            .map_or_else(|| registry.standing(), |service| service.standing.clone());
        replaced = before.and_then(|service| service.revision.clone());
        let config = revision.config.clone();
        services.insert(
            name.clone(),
            Arc::new(Service {
                name,
                config,
                revision: Some(revision),
                standing,
            }),
        );
    })?;
    Ok(replaced)
}

/// Takes the service out, and returns the revision that answered.
pub(super) fn remove(
    registry: &Registry,
    name: &str,
) -> Result<Option<Arc<Revision>>, PublishError> {
    let mut removed = None;
    registry.publish(|services| {
        services.retain(|key, service| {
            let stays = key.as_ref() != name;
            if !stays {
                removed = service.revision.clone();
            }
            stays
        });
    })?;
    Ok(removed)
}
