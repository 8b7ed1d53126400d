//! Who depends on whom: what services may call and nobody would answer.

use std::collections::BTreeSet;

use super::{Findings, Sound};
use crate::capability::functions;

/// Reports what the `sound` services need of `all` that there are, those that are not in order too.
pub(super) fn check(sound: &[Sound], all: &BTreeSet<String>, findings: &mut Findings) {
    for service in sound {
        missing(service, all, findings);
        unbound(service, sound, all, findings);
    }
}

fn missing(service: &Sound, all: &BTreeSet<String>, findings: &mut Findings) {
    for callee in service.config.depends_on() {
        if !all.contains(callee.as_str()) {
            let name = service.config.name.to_string();
            let problem = format!(
                "{name} may call {callee}, which is not there: deploy it, or take it out of {name}'s manifest"
            );
            findings.problem(&service.file, Some(name), problem);
        }
    }
}

fn unbound(service: &Sound, sound: &[Sound], all: &BTreeSet<String>, findings: &mut Findings) {
    let exports = sound
        .iter()
        .map(|other| (&other.config.name, &*other.contracts.exports));
    // One that is not in order is reported already, and what it exports is not known.
    let is_unclear = |name: &str| {
        all.contains(name) && !exports.clone().any(|(sound, _)| sound.as_str() == name)
    };
    let mut callees = service.config.allow.services.iter();
    if callees.any(|name| is_unclear(name.as_str())) {
        return;
    }
    for wanted in &service.contracts.imports {
        if let Some(lack) = functions::lack(&service.config, wanted, exports.clone()) {
            let name = service.config.name.to_string();
            findings.problem(&service.file, Some(name.clone()), format!("{name}: {lack}"));
        }
    }
}
