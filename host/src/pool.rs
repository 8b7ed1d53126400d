//! The instance pool's division among services: who may start an instance, counted in claims.
//!
//! Every service has a reserved share that no other can take; what is left when services ask for more than there is
//! lies in common. The figures come from `skep_policy::shares`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits whose number can change while some are held.
#[derive(Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    size: AtomicU32,
    /// Permits that are to vanish when they come back.
    owed: AtomicU32,
}

impl Permits {
    pub(crate) fn new(size: u32) -> Arc<Self> {
        let semaphore = Arc::new(Semaphore::new(size as usize));
        Arc::new(Self {
            semaphore,
            size: AtomicU32::new(size),
            owed: AtomicU32::new(0),
        })
    }

    /// Changes the number of permits. Not to be called by two at a time.
    pub(crate) fn resize(&self, size: u32) {
        let before = self.size.swap(size, Relaxed);
        if size > before {
            let mut more = size - before;
            while more > 0 && self.forgive() {
                more -= 1;
            }
            self.semaphore.add_permits(more as usize);
        } else {
            let less = before - size;
            let forgotten = self.semaphore.forget_permits(less as usize);
            self.owed
                .fetch_add(less - u32::try_from(forgotten).unwrap_or(less), Relaxed);
        }
    }

    fn forgive(&self) -> bool {
        self.owed
            .fetch_update(Relaxed, Relaxed, |owed| owed.checked_sub(1))
            .is_ok()
    }

    pub(crate) fn try_acquire(self: &Arc<Self>, count: u32) -> Option<Permit> {
        let permit = self.semaphore.clone().try_acquire_many_owned(count).ok()?;
        Some(Permit {
            permit: Some(permit),
            permits: self.clone(),
        })
    }

    pub(crate) async fn acquire(self: &Arc<Self>, count: u32) -> Option<Permit> {
        let permit = self
            .semaphore
            .clone()
            .acquire_many_owned(count)
            .await
            .ok()?;
        Some(Permit {
            permit: Some(permit),
            permits: self.clone(),
        })
    }

    /// Permits that are held now.
    pub(crate) fn held(&self) -> u32 {
        let free = u32::try_from(self.semaphore.available_permits()).unwrap_or(u32::MAX);
        (self.size.load(Relaxed) + self.owed.load(Relaxed)).saturating_sub(free)
    }
}

/// Permits that come back when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    permit: Option<OwnedSemaphorePermit>,
    permits: Arc<Permits>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(mut permit) = self.permit.take() else {
            return;
        };
        while permit.num_permits() > 0 && self.permits.forgive() {
            if let Some(one) = permit.split(1) {
                one.forget();
            }
        }
    }
}

/// One service's way to instances.
#[derive(Debug)]
pub(crate) struct Share {
    reserved: Arc<Permits>,
    common: Arc<Permits>,
}

/// The right to have one instance; given back when the instance is gone.
#[derive(Debug)]
pub(crate) struct Claim {
    _permit: Permit,
    /// Taken from what lies in common: the instance must not be kept when it has nothing to do.
    pub(crate) borrowed: bool,
}

impl Share {
    pub(crate) fn new(common: Arc<Permits>) -> Self {
        Self {
            reserved: Permits::new(0),
            common,
        }
    }

    pub(crate) fn resize(&self, reserved: u32) {
        self.reserved.resize(reserved);
    }

    /// The right to start an instance that takes `claims`, if there is one now.
    pub(crate) fn try_claim(&self, claims: u32) -> Option<Claim> {
        let of = |permits: &Arc<Permits>, borrowed| {
            let permit = permits.try_acquire(claims)?;
            Some(Claim {
                _permit: permit,
                borrowed,
            })
        };
        of(&self.reserved, false).or_else(|| of(&self.common, true))
    }

    /// Waits until an instance that takes `claims` may be started.
    pub(crate) async fn claim(&self, claims: u32) -> Option<Claim> {
        tokio::select! {
            biased;
            permit = self.reserved.acquire(claims) => Some(Claim { _permit: permit?, borrowed: false }),
            permit = self.common.acquire(claims) => Some(Claim { _permit: permit?, borrowed: true }),
        }
    }

    /// Claims that are held from the reserved share.
    pub(crate) fn held(&self) -> u32 {
        self.reserved.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_takes_effect_as_permits_come_back() {
        let permits = Permits::new(4);
        let held: Vec<_> = (0..4).map(|_| permits.try_acquire(1).unwrap()).collect();
        permits.resize(1);
        assert_eq!(permits.held(), 4);
        drop(held);
        assert_eq!(permits.held(), 0);
        let one = permits.try_acquire(1);
        assert!(one.is_some() && permits.try_acquire(1).is_none());
    }

    #[test]
    fn growing_first_forgives_what_is_owed() {
        let permits = Permits::new(2);
        let held: Vec<_> = (0..2).map(|_| permits.try_acquire(1).unwrap()).collect();
        permits.resize(0);
        permits.resize(2);
        assert!(permits.try_acquire(1).is_none());
        drop(held);
        assert!(permits.try_acquire(2).is_some());
        assert!(permits.try_acquire(3).is_none());
    }

    #[tokio::test]
    async fn a_service_borrows_only_past_its_reserve_and_never_takes_anothers() {
        let common = Permits::new(1);
        let (greedy, modest) = (Share::new(common.clone()), Share::new(common));
        greedy.resize(1);
        modest.resize(1);
        let first = greedy.claim(1).await.unwrap();
        let second = greedy.claim(1).await.unwrap();
        assert!(!first.borrowed && second.borrowed);
        assert!(futures::FutureExt::now_or_never(greedy.claim(1)).is_none());
        assert!(!modest.claim(1).await.unwrap().borrowed);
    }
}
