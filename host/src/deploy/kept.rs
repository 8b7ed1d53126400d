//! Revisions that have answered and may be wanted back: linked, so that a rollback starts nothing.

use std::collections::{BTreeMap, VecDeque};

use skep_policy::name::ServiceName;

use super::Prepared;

/// Revisions of a service that stay linked, the running one included.
const LINKED_MAX: usize = 4;

/// The last revisions of each service, newest last.
#[derive(Debug, Default)]
pub(super) struct Kept(BTreeMap<ServiceName, VecDeque<Prepared>>);

impl Kept {
    /// A revision answers now.
    pub(super) fn note(&mut self, prepared: &Prepared) {
        let revision = &prepared.revision;
        let kept = self.0.entry(revision.config.name.clone()).or_default();
        kept.retain(|kept| kept.revision.number != revision.number);
        kept.push_back(prepared.clone());
        if kept.len() > LINKED_MAX {
            kept.pop_front();
        }
    }

    /// A revision to answer once more, if it is still linked.
    pub(super) fn again(&self, name: &ServiceName, number: u64) -> Option<Prepared> {
        let kept = self.0.get(name)?;
        let found = kept.iter().find(|kept| kept.revision.number == number)?;
        Some(Prepared {
            revision: found.revision.again().into(),
            compiled: found.compiled.clone(),
        })
    }

    /// The service is gone.
    pub(super) fn forget(&mut self, name: &ServiceName) {
        self.0.remove(name);
    }
}
