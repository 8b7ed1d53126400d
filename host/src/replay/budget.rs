//! How much memory recordings may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that recordings may take together.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    most: usize,
}

/// Bytes that come back when this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            most,
        })
    }

    /// A charge of nothing yet.
    pub(super) fn charge(self: &Arc<Self>) -> Charge {
        Charge {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

impl Charge {
    /// Takes so many more, if there are.
    #[must_use]
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let most = self.budget.most;
        let more = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= most);
        let is_taken = self.budget.used.fetch_update(Relaxed, Relaxed, more);
        if is_taken.is_ok() {
            self.bytes += bytes;
        }
        is_taken.is_ok()
    }

    /// Another one of as many bytes, if there are.
    pub(super) fn twin(&self) -> Option<Self> {
        let mut twin = self.budget.charge();
        twin.grow(self.bytes).then_some(twin)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_never_more_than_the_budget_and_all_of_it_comes_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.charge(), budget.charge());
        assert!(one.grow(6) && !other.grow(5) && other.grow(4) && !one.grow(1));
        assert!(!other.grow(usize::MAX));
        assert!(one.twin().is_none());
        drop(one);
        assert!(other.twin().is_some());
        assert!(other.grow(6));
        assert_eq!(other.bytes(), 10);
        drop(other);
        assert_eq!(budget.used.load(Relaxed), 0);
    }
}
