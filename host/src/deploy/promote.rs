//! The swap: a new snapshot in which new revisions answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_policy::fit::{self, Misfit, Routes, Wants};
use skep_policy::name::ServiceName;

use super::arrive::Candidate;
use super::desk::Desk;
use crate::config::ServiceConfig;
use crate::registry::{Plan, Registry, Revision, Service, Snapshot, TrialSettings};

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

/// Whether any revision of the service answers.
pub(super) fn has_revision(registry: &Registry, name: &ServiceName) -> bool {
    let snapshot = registry.snapshot();
    let service = snapshot.services.get(name);
    service.is_some_and(|service| service.revision.is_some())
}

/// The routes of the services in a snapshot that answer, and of those that shall come up.
pub(super) fn stands<'a>(snapshot: &'a Snapshot, desk: &Desk) -> Routes<'a> {
    let services = snapshot.services.values();
    services
        .filter(|service| service.revision.is_some() || desk.awaits(&service.name))
        .map(|service| (&service.name, wants(&service.config)))
        .collect()
}

/// What a service of this `config` has or wants.
pub(super) fn wants(config: &ServiceConfig) -> Wants<'_> {
    Wants {
        routes: &config.routes,
        has_instances: config.has_instances(),
    }
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
    let others = others.map(|service| (&service.name, wants(&service.config)));
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
        .map(|config| (&config.name, wants(config)))
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
                trial: None,
                tally: None,
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

/// Where a revision goes.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// It answers for its service, alone.
    Running(Arc<Revision>),
    /// It answers a part of what its service is asked.
    Trial(Arc<Revision>, TrialSettings),
    /// The running revision of the service answers alone.
    NoTrial(ServiceName),
}

impl Place {
    fn name(&self) -> &ServiceName {
        match self {
            Self::Running(revision) | Self::Trial(revision, _) => &revision.config.name,
            Self::NoTrial(name) => name,
        }
    }
}

/// The snapshot in which all revisions have their places, and the revisions that have none any more.
///
/// # Errors
/// When the routes or the pool don't allow it.
pub(super) fn plan(
    registry: &Registry,
    desk: &Desk,
    places: &[Place],
) -> Result<(Plan, Vec<Arc<Revision>>), Misfit> {
    let come: Vec<&ServiceName> = places.iter().map(Place::name).collect();
    let mut replaced = Vec::new();
    let plan = registry.plan(|services| {
        for place in places {
            replaced.extend(put(registry, services, place));
        }
        make_room(registry, desk, services, &come);
    })?;
    Ok((plan, replaced))
}

/// Puts one revision in its place; which it replaces.
fn put(registry: &Registry, services: &mut Services, place: &Place) -> Vec<Arc<Revision>> {
    let name = place.name().clone();
    let before = services.remove(&name);
    let mut answered: Vec<Arc<Revision>> = Vec::new();
    if let Some(before) = &before {
        let candidate = before.trial.as_ref().map(|trial| &trial.candidate);
        let candidate = candidate.and_then(|service| service.revision.clone());
        answered.extend(before.revision.iter().cloned().chain(candidate));
    }
    let standing = before
        .as_ref()
        .map_or_else(|| registry.standing(), |service| service.standing.clone());
    let service = match place {
        Place::Running(revision) => Service::running(revision, standing),
        Place::Trial(revision, settings) => {
            let Some(before) = before.filter(|before| before.revision.is_some()) else {
                return answered;
            };
            before.with_trial(revision, settings)
        }
        Place::NoTrial(_) => {
            let Some(before) = before else {
                return answered;
            };
            before.without_trial()
        }
    };
    let answers = service.answering();
    answered.retain(|revision| !answers.iter().any(|other| Arc::ptr_eq(other, revision)));
    services.insert(name, Arc::new(service));
    answered
}

/// The snapshot without these services, and the revisions that answered.
///
/// # Errors
/// Never because of what is taken out; the pool is divided anew.
pub(super) fn without(
    registry: &Registry,
    names: &[ServiceName],
) -> Result<(Plan, Vec<Arc<Revision>>), Misfit> {
    let mut removed = Vec::new();
    let plan = registry.plan(|services| {
        services.retain(|name, service| {
            let stays = !names.contains(name);
            if !stays {
                removed.extend(service.answering());
            }
            stays
        });
    })?;
    Ok((plan, removed))
}
