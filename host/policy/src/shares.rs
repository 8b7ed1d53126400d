//! How the instance pool is divided, so that a service at its limit never takes another's instance.
//!
//! Each service has a reserved share that nobody else can use; what is left over is common, and a service
//! may borrow of it up to its own concurrency. As long as the pool holds what all services ask for together
//! there is nothing common and nothing to contend for.

/// The pool divided: one reserved share a service, in the order asked, and the rest in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// Instances that each service has for itself; at least one.
    pub reserved: Vec<u32>,
    /// Instances that any service may borrow, up to its concurrency in all.
    pub common: u32,
}

/// More services than instances: not every one could have its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{services} services can't share a pool of {total} instances: each needs at least one; \
     set pool.instances to {services} or more, or serve fewer services"
)]
pub struct TooManyServices {
    /// Services that ask for a share.
    pub services: usize,
    /// Instances in the pool.
    pub total: u32,
}

/// Divides `total` instances among services that ask for `concurrency` each (an ask of 0 counts as 1).
///
/// If all asks fit, each is reserved whole. Otherwise half the pool is divided evenly (at least one each, no
/// more than asked) and the other half, with whatever small askers left of theirs, is common.
///
/// # Errors
/// If there are more services than instances.
pub fn divide(total: u32, concurrency: &[u32]) -> Result<Division, TooManyServices> {
    let too_many = TooManyServices {
        services: concurrency.len(),
        total,
    };
    let services = u32::try_from(concurrency.len()).map_err(|_| too_many)?;
    if services > total {
        return Err(too_many);
    }
    let asked: u64 = concurrency.iter().map(|ask| u64::from(*ask).max(1)).sum();
    let share_max = if asked <= u64::from(total) {
        u32::MAX
    } else {
        // services > 0, for with none the sum fits.
        (total / 2 / services).max(1)
    };
    let reserved: Vec<u32> = concurrency
        .iter()
        .map(|ask| (*ask).max(1).min(share_max))
        .collect();
    let common = if share_max == u32::MAX {
        0
    } else {
        total - reserved.iter().sum::<u32>()
    };
    Ok(Division { reserved, common })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Instances that a service with this ask and reserve gets while the others use only their reserve.
    fn reach(ask: u32, reserved: u32, common: u32) -> u32 {
        ask.max(1).min(reserved + common)
    }

    #[test]
    fn asks_that_fit_are_reserved_whole() {
        let division = divide(100, &[64, 36]).unwrap();
        assert_eq!(
            division,
            Division {
                reserved: vec![64, 36],
                common: 0
            }
        );
    }

    #[test]
    fn asks_that_do_not_fit_share_half_and_borrow_the_rest() {
        let division = divide(100, &[64, 64, 2]).unwrap();
        assert_eq!(
            division,
            Division {
                reserved: vec![16, 16, 2],
                common: 66
            }
        );
    }

    #[test]
    fn as_many_services_as_instances_get_one_each() {
        let division = divide(3, &[64, 64, 64]).unwrap();
        assert_eq!(
            division,
            Division {
                reserved: vec![1, 1, 1],
                common: 0
            }
        );
    }

    #[test]
    fn more_services_than_instances_is_an_error_with_both_figures() {
        assert_eq!(
            divide(2, &[1, 1, 1]).unwrap_err().to_string(),
            "3 services can't share a pool of 2 instances: each needs at least one; \
             set pool.instances to 3 or more, or serve fewer services"
        );
    }

    #[test]
    fn no_services_need_no_pool() {
        assert_eq!(
            divide(0, &[]),
            Ok(Division {
                reserved: vec![],
                common: 0
            })
        );
    }

    /// Every pool up to 12 instances with every combination of up to three asks: nothing left to chance.
    #[test]
    fn every_small_pool_is_divided_within_its_bounds() {
        for total in 0..=12 {
            for a in 0..=13 {
                for b in 0..=13 {
                    for c in 0..=13 {
                        check(total, &[a, b, c]);
                        check(total, &[a, b]);
                    }
                }
            }
        }
    }

    fn check(total: u32, asks: &[u32]) {
        let Ok(division) = divide(total, asks) else {
            assert!(asks.len() > total as usize);
            return;
        };
        let sum: u64 = division.reserved.iter().map(|r| u64::from(*r)).sum();
        assert!(
            sum + u64::from(division.common) <= u64::from(total),
            "{total} {asks:?}"
        );
        for (ask, reserved) in asks.iter().zip(&division.reserved) {
            assert!((1..=(*ask).max(1)).contains(reserved), "{total} {asks:?}");
        }
    }

    proptest! {
        #[test]
        fn shares_never_exceed_the_pool_and_none_is_empty(
            total: u32, asks in prop::collection::vec(any::<u32>(), 0..40)
        ) {
            check(total, &asks);
        }

        #[test]
        fn a_larger_pool_takes_from_no_ones_reserve(
            total in 0_u32..400, more in 0_u32..400, asks in prop::collection::vec(0_u32..100, 0..10)
        ) {
            if let Ok(before) = divide(total, &asks) {
                let after = divide(total + more, &asks).unwrap();
                for (before, after) in before.reserved.iter().zip(&after.reserved) {
                    prop_assert!(after >= before);
                }
            }
        }

        #[test]
        fn asking_for_more_never_gets_less(
            total in 0_u32..400, more in 0_u32..400, asks in prop::collection::vec(0_u32..100, 1..10)
        ) {
            if let Ok(before) = divide(total, &asks) {
                let mut greedy = asks.clone();
                greedy[0] += more;
                let after = divide(total, &greedy).unwrap();
                prop_assert!(
                    reach(greedy[0], after.reserved[0], after.common)
                        >= reach(asks[0], before.reserved[0], before.common)
                );
            }
        }

        #[test]
        fn who_asks_for_more_has_no_smaller_reserve(
            total in 0_u32..400, asks in prop::collection::vec(0_u32..100, 0..10)
        ) {
            if let Ok(division) = divide(total, &asks) {
                for (i, a) in asks.iter().enumerate() {
                    for (j, b) in asks.iter().enumerate() {
                        prop_assert!(a > b || division.reserved[i] <= division.reserved[j]);
                    }
                }
            }
        }
    }
}
