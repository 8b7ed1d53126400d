//! Says in the log when a running service lacks what it depends on, and when it has it again.

use std::collections::BTreeMap;

use skep_policy::name::ServiceName;

use crate::capability::functions;
use crate::registry::{Service, Snapshot};

/// What was said last of each service that lacks something.
#[derive(Default)]
pub(super) struct Lacks(BTreeMap<ServiceName, Vec<String>>);

impl Lacks {
    /// To be called when no deployment is under way that could change it.
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        let mut now = BTreeMap::new();
        for service in snapshot.services.values() {
            let lacks = of(service, snapshot);
            if !lacks.is_empty() {
                now.insert(service.name.clone(), lacks);
            }
        }
        for (name, lacks) in &now {
            if self.0.get(name) != Some(lacks) {
                let (service, lacks) = (name.as_str(), lacks.join("; "));
                tracing::warn!(service, lacks, "the service is degraded");
            }
        }
        let is_whole =
            |name: &&ServiceName| snapshot.services.contains_key(*name) && !now.contains_key(*name);
        for name in self.0.keys().filter(is_whole) {
            let service = name.as_str();
            tracing::info!(service, "the service lacks nothing any more");
        }
        self.0 = now;
    }
}

/// What a running service can't call, a sentence each.
pub(super) fn of(service: &Service, snapshot: &Snapshot) -> Vec<String> {
    if service.revision.is_none() {
        return Vec::new();
    }
    let missing = snapshot.missing(service);
    missing
        .map(|name| format!("{name} is not deployed"))
        .chain(functions::unbound(service, snapshot))
        .collect()
}
