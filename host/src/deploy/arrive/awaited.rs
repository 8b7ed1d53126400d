//! Components that are being made: a manifest that names one is not wrong because it is not there yet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by who makes components and who looks for them.
#[derive(Debug, Clone, Default)]
pub struct Awaited(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Awaited {
    /// The component is about to be made; its path as manifests are resolved to it.
    pub fn add(&self, component: PathBuf) {
        self.lock().insert(component);
    }

    /// It is there, or will not be.
    pub fn remove(&self, component: &Path) {
        self.lock().remove(component);
    }

    pub(super) fn has(&self, component: &Path) -> bool {
        self.lock().contains(component)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
