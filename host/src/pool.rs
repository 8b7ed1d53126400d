//! The instance pool's division among services: who may start an instance, counted in claims.
//!
//! Every service has a reserved share that no other can take; what is left when services ask for more than there is
//! lies in common. The figures come from `skep_policy::shares`. A claim that is to be another's is so when it has come
//! back: there are never more than the pool has.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What permits are made of, and go back to when their number shrinks. Shared by all that divide one pool.
#[derive(Debug)]
pub(crate) struct Stock(Mutex<Stored>);

#[derive(Debug)]
struct Stored {
    spare: u32,
    /// Who waits for more, and for how many. What is to lie in common comes last.
    short: Vec<(Weak<Semaphore>, u32)>,
}

impl Stock {
    pub(crate) fn new(size: u32) -> Arc<Self> {
        let stored = Stored {
            spare: size,
            short: Vec::new(),
        };
        Arc::new(Self(Mutex::new(stored)))
    }

    /// As many as anybody asks for.
    pub(crate) fn endless() -> Arc<Self> {
        Self::new(u32::MAX)
    }

    /// Gives so many more, as soon as there are.
    fn give(&self, to: &Permits, more: u32) {
        let mut stored = self.lock();
        let wants = (Arc::downgrade(&to.semaphore), more);
        if to.is_common {
            stored.short.push(wants);
        } else {
            stored.short.insert(0, wants);
        }
        stored.serve();
    }

    /// Takes so many back out of those that are still waited for; says how many were not.
    fn cancel(&self, of: &Arc<Semaphore>, mut less: u32) -> u32 {
        for (waiting, short) in &mut self.lock().short {
            if waiting.as_ptr() == Arc::as_ptr(of) {
                let cancelled = less.min(*short);
                *short -= cancelled;
                less -= cancelled;
            }
        }
        less
    }

    /// Those that are still waited for.
    fn short_of(&self, semaphore: &Arc<Semaphore>) -> u32 {
        let stored = self.lock();
        let short = stored.short.iter();
        short
            .filter(|(waiting, _)| waiting.as_ptr() == Arc::as_ptr(semaphore))
            .map(|(_, short)| short)
            .sum()
    }

    fn put_back(&self, count: u32) {
        let mut stored = self.lock();
        stored.spare += count;
        stored.serve();
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn serve(&mut self) {
        let spare = &mut self.spare;
        self.short.retain_mut(|(semaphore, short)| {
            let Some(semaphore) = semaphore.upgrade() else {
                return false;
            };
            let given = (*short).min(*spare);
            semaphore.add_permits(given as usize);
            *short -= given;
            *spare -= given;
            *short > 0
        });
    }
}

/// Permits whose number can change while some are held.
#[derive(Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    stock: Arc<Stock>,
    size: AtomicU32,
    /// Permits that go back to the stock when they come back.
    owed: AtomicU32,
    is_common: bool,
}

impl Permits {
    /// No permits yet, of the stock.
    pub(crate) fn of(stock: &Arc<Stock>) -> Arc<Self> {
        Self::with(stock, false)
    }

    /// The same, for what any service may borrow.
    pub(crate) fn in_common(stock: &Arc<Stock>) -> Arc<Self> {
        Self::with(stock, true)
    }

    fn with(stock: &Arc<Stock>, is_common: bool) -> Arc<Self> {
        Arc::new(Self {
            is_common,
            semaphore: Arc::new(Semaphore::new(0)),
            stock: stock.clone(),
            size: AtomicU32::new(0),
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
            self.stock.give(self, more);
        } else {
            let less = self.stock.cancel(&self.semaphore, before - size);
            self.owed.fetch_add(less, SeqCst);
            self.settle();
        }
    }

    /// Pays what is owed out of what is free. To be called after either has grown, so that one of two who make them grow
    /// at the same time sees the other's.
    fn settle(&self) {
        while self.owes() && self.semaphore.forget_permits(1) == 1 {
            if self.forgive() {
                self.stock.put_back(1);
            } else {
                self.semaphore.add_permits(1);
            }
        }
    }

    /// Whether others wait for permits that are held.
    fn owes(&self) -> bool {
        self.owed.load(SeqCst) > 0
    }

    fn forgive(&self) -> bool {
        self.owed
            .fetch_update(SeqCst, Relaxed, |owed| owed.checked_sub(1))
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
        let short = self.stock.short_of(&self.semaphore);
        let free = u32::try_from(self.semaphore.available_permits()).unwrap_or(u32::MAX);
        (self.size.load(Relaxed) + self.owed.load(Relaxed))
            .saturating_sub(free.saturating_add(short))
    }
}

// Nobody holds any more, since who does holds these permits: all go back.
impl Drop for Permits {
    fn drop(&mut self) {
        self.stock.cancel(&self.semaphore, u32::MAX);
        let free = self.semaphore.available_permits();
        self.stock.put_back(u32::try_from(free).unwrap_or(0));
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
                self.permits.stock.put_back(1);
            }
        }
        drop(permit);
        self.permits.settle();
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
    permit: Permit,
    /// Taken from what lies in common: the instance must not be kept when it has nothing to do.
    pub(crate) borrowed: bool,
}

impl Claim {
    /// Whether it is to be another's: the instance must not be kept when it has nothing to do.
    pub(crate) fn is_wanted_back(&self) -> bool {
        self.permit.permits.owes()
    }

    fn of(permits: &Arc<Permits>, claims: u32, borrowed: bool) -> Option<Self> {
        permits
            .try_acquire(claims)
            .map(|permit| Self { permit, borrowed })
    }
}

impl Share {
    pub(crate) fn new(stock: &Arc<Stock>, common: Arc<Permits>) -> Self {
        Self {
            reserved: Permits::of(stock),
            common,
        }
    }

    pub(crate) fn resize(&self, reserved: u32) {
        self.reserved.resize(reserved);
    }

    /// Whether others wait for what the service still holds.
    pub(crate) fn owes(&self) -> bool {
        self.reserved.owes()
    }

    /// Leaves the service no more than `reserved` to itself.
    pub(crate) fn shrink(&self, reserved: u32) {
        self.resize(reserved.min(self.reserved.size.load(Relaxed)));
    }

    /// The right to start an instance that takes `claims`, if the service has it for itself now.
    pub(crate) fn try_claim(&self, claims: u32) -> Option<Claim> {
        Claim::of(&self.reserved, claims, false)
    }

    /// The same, from what lies in common.
    pub(crate) fn try_borrow(&self, claims: u32) -> Option<Claim> {
        Claim::of(&self.common, claims, true)
    }

    /// Waits until an instance that takes `claims` may be started.
    pub(crate) async fn claim(&self, claims: u32) -> Option<Claim> {
        tokio::select! {
            biased;
            permit = self.reserved.acquire(claims) => Some(Claim { permit: permit?, borrowed: false }),
            permit = self.common.acquire(claims) => Some(Claim { permit: permit?, borrowed: true }),
        }
    }

    /// Claims that are held from the reserved share.
    pub(crate) fn held(&self) -> u32 {
        self.reserved.held()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn permits(stock: &Arc<Stock>, size: u32) -> Arc<Permits> {
        let permits = Permits::of(stock);
        permits.resize(size);
        permits
    }

    fn hold(permits: &Arc<Permits>, count: u32) -> Vec<Permit> {
        let one = |_| permits.try_acquire(1).unwrap();
        (0..count).map(one).collect()
    }

    #[test]
    fn shrinking_takes_effect_as_permits_come_back() {
        let permits = permits(&Stock::new(4), 4);
        let held = hold(&permits, 4);
        permits.resize(1);
        assert_eq!(permits.held(), 4);
        drop(held);
        assert_eq!(permits.held(), 0);
        let one = permits.try_acquire(1);
        assert!(one.is_some() && permits.try_acquire(1).is_none());
    }

    #[test]
    fn growing_first_forgives_what_is_owed() {
        let permits = permits(&Stock::new(2), 2);
        let held = hold(&permits, 2);
        permits.resize(0);
        permits.resize(2);
        assert!(permits.try_acquire(1).is_none());
        drop(held);
        assert!(permits.try_acquire(2).is_some());
        assert!(permits.try_acquire(3).is_none());
    }

    #[test]
    fn what_one_gives_up_is_anothers_when_it_has_come_back_and_no_sooner() {
        let stock = Stock::new(4);
        let (one, other) = (permits(&stock, 4), permits(&stock, 0));
        let mut held = hold(&one, 3);
        one.resize(1);
        other.resize(3);
        // Only one was free.
        let of_other = hold(&other, 1);
        assert!(other.try_acquire(1).is_none());
        assert_eq!((one.held(), other.held()), (3, 1));
        held.pop();
        held.pop();
        assert_eq!(hold(&other, 2).len(), 2);
        drop(of_other);
        assert!(other.try_acquire(3).is_some() && one.try_acquire(1).is_none());
        // What it still waits for it can lose again.
        one.resize(4);
        one.resize(1);
        other.resize(0);
        drop(held);
        assert!(one.try_acquire(1).is_some() && one.try_acquire(2).is_none());
    }

    #[test]
    fn what_comes_back_is_somebodys_own_before_it_lies_in_common() {
        let stock = Stock::new(4);
        let one = permits(&stock, 4);
        let mut held = hold(&one, 4);
        one.resize(1);
        let common = Permits::in_common(&stock);
        common.resize(2);
        let other = permits(&stock, 1);
        held.pop();
        assert!(other.try_acquire(1).is_some() && common.try_acquire(1).is_none());
    }

    #[test]
    fn permits_that_shrink_while_they_come_back_are_all_accounted_for() {
        const ROUNDS: u32 = 2_000;
        let stock = Stock::new(8);
        let one = permits(&stock, 8);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..ROUNDS).for_each(|_| drop(one.try_acquire(2))));
            }
            (0..ROUNDS).for_each(|round| one.resize([8, 1][round as usize % 2]));
        });
        one.resize(3);
        let other = permits(&stock, 5);
        assert_eq!((hold(&one, 3).len(), hold(&other, 5).len()), (3, 5));
    }

    #[test]
    fn all_of_a_service_that_is_gone_is_there_for_others() {
        let stock = Stock::new(4);
        let gone = permits(&stock, 4);
        let held = hold(&gone, 2);
        let other = permits(&stock, 4);
        assert!(other.try_acquire(1).is_none());
        drop(gone);
        assert!(other.try_acquire(1).is_none(), "its last instances live");
        drop(held);
        assert!(other.try_acquire(4).is_some());
    }

    #[tokio::test]
    async fn a_service_borrows_only_past_its_reserve_and_never_takes_anothers() {
        let stock = Stock::new(3);
        let common = Permits::in_common(&stock);
        common.resize(1);
        let share = || Share::new(&stock, common.clone());
        let (greedy, modest) = (share(), share());
        greedy.resize(1);
        modest.resize(1);
        let first = greedy.claim(1).await.unwrap();
        let second = greedy.claim(1).await.unwrap();
        assert!(!first.borrowed && second.borrowed);
        assert!(greedy.claim(1).now_or_never().is_none());
        assert!(modest.try_borrow(1).is_none());
        assert!(!modest.claim(1).await.unwrap().borrowed);
    }
}
