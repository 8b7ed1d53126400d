//! What has changed since what was told last.

use std::collections::BTreeMap;

use super::error::in_full;
use super::scan::{Found, Scan};
use super::{Batch, Candidate, Change};

/// What was told last of a service.
#[derive(Debug)]
enum Told {
    Sound(Box<Candidate>),
    Broken(String),
    /// Something that is to be told again.
    Forgotten,
}

/// What was told, so that everything is told once.
#[derive(Debug, Default)]
pub(super) struct Memory {
    services: BTreeMap<String, Told>,
    faults: Vec<String>,
    settled: bool,
}

impl Memory {
    /// What was told before of services of these names, is to be told again.
    pub(super) fn of(known: Vec<String>) -> Self {
        let services = known.into_iter().map(|name| (name, Told::Forgotten));
        Self {
            services: services.collect(),
            ..Self::default()
        }
    }

    /// What of a scan is news; `None` if nothing is.
    pub(super) fn news(&mut self, scan: Scan) -> Option<Batch> {
        self.log(&scan);
        let settled = !scan.is_waiting();
        let mut changes = Vec::new();
        if !scan.is_partial {
            let gone: Vec<_> = self
                .services
                .keys()
                .filter(|name| !scan.services.contains_key(*name))
                .cloned()
                .collect();
            for name in gone {
                self.services.remove(&name);
                changes.push(Change::Remove(name));
            }
        }
        for (name, found) in scan.services {
            changes.extend(self.service(name, found));
        }
        changes.sort_by(|a, b| name(a).cmp(name(b)));
        let is_news = !changes.is_empty() || (settled && !self.settled);
        self.settled |= settled;
        is_news.then_some(Batch { changes, settled })
    }

    /// Makes everything that is found news again, but still knows what there was, to tell what is gone.
    pub(super) fn forget(&mut self) {
        for told in self.services.values_mut() {
            *told = Told::Forgotten;
        }
        self.faults.clear();
    }

    fn service(&mut self, name: String, found: Found) -> Option<Change> {
        match found {
            Found::Waiting => None,
            Found::Ready(candidate) => {
                if let Some(Told::Sound(told)) = self.services.get(&name)
                    && *told == candidate
                {
                    return None;
                }
                self.services.insert(name, Told::Sound(candidate.clone()));
                Some(Change::Upsert(candidate))
            }
            Found::Broken(error) => {
                let text = in_full(&error);
                if let Some(Told::Broken(told)) = self.services.get(&name)
                    && *told == text
                {
                    return None;
                }
                self.services.insert(name.clone(), Told::Broken(text));
                Some(Change::Broken(name, Box::new(error)))
            }
        }
    }

    /// Places that can't be looked at belong to no service: they are told to the log, once.
    fn log(&mut self, scan: &Scan) {
        let faults: Vec<_> = scan.faults.iter().map(|fault| in_full(fault)).collect();
        for fault in faults.iter().filter(|fault| !self.faults.contains(fault)) {
            tracing::warn!(%fault, "can't look for services");
        }
        if faults.is_empty() && !self.faults.is_empty() {
            tracing::info!("services can be looked for again");
        }
        self.faults = faults;
    }
}

fn name(change: &Change) -> &str {
    match change {
        Change::Upsert(candidate) => candidate.config.name.as_ref(),
        Change::Remove(name) | Change::Broken(name, _) => name,
    }
}
