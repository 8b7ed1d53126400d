//! What a deployment would take from services that run: callees that they can call now and then could not.

use std::collections::BTreeSet;

use skep_policy::name::ServiceName;

use super::lacks;
use crate::registry::Snapshot;

/// What the services of `before` lack in `after` and don't lack yet, a sentence each that names the service. Those that
/// are `changed` themselves are left out: whoever changes them knows what they need.
pub(super) fn of(
    before: &Snapshot,
    after: &Snapshot,
    changed: &BTreeSet<ServiceName>,
) -> Vec<String> {
    let mut sentences = Vec::new();
    for service in after.services.values() {
        let Some(was) = before.services.get(&service.name) else {
            continue;
        };
        if changed.contains(&service.name) || was.revision.is_none() {
            continue;
        }
        let lacked: BTreeSet<String> = lacks::of(was, before).into_iter().collect();
        for lack in lacks::of(service, after) {
            if !lacked.contains(&lack) {
                sentences.push(format!("{}: {lack}", service.name));
            }
        }
    }
    sentences
}
