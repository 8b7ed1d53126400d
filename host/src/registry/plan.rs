//! A snapshot on its way to be published: whatever is to be written down first is written in between.

use std::sync::Arc;

use skep_policy::shares::Division;

use super::Snapshot;

/// A snapshot that may be published.
#[derive(Debug)]
pub struct Plan {
    pub(super) before: Arc<Snapshot>,
    pub(super) after: Arc<Snapshot>,
    pub(super) shares: Division,
}

impl Plan {
    /// What would be published.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.after
    }
}
