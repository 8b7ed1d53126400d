//! How the instance pool is divided, so that a service at its limit never takes another's instance.
//!
//! Each service has a reserved share that nobody else can use; what is left over is common, and a service
//! may borrow of it up to its own concurrency. As long as the pool holds what all services ask for together
//! there is nothing common and nothing to contend for.

/// The pool divided: one reserved share a service, in the order asked, and the rest in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// Instances that each service has for itself; at least what it needs.
    pub reserved: Vec<u32>,
    /// Instances that any service may borrow, up to its concurrency in all.
    pub common: u32,
}

/// Fewer instances than the services need at least: not every one could have its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{services} services can't share a pool of {total} instances: they need at least {least}; \
     set pool.instances to {least} or more, or serve fewer services"
)]
pub struct TooManyServices {
    /// Services that ask for a share.
    pub services: usize,
    /// What they need at least, all together.
    pub least: u64,
    /// Instances in the pool.
    pub total: u32,
}

/// What a service needs of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Without so many it can't work at all; 0 counts as 1.
    pub least: u32,
    /// It has no use for more; at least `least`.
    pub most: u32,
}

impl Ask {
    /// Of a service that has no instances.
    pub const NOTHING: Self = Self { least: 0, most: 0 };

    fn bounds(self) -> (u32, u32) {
        if self == Self::NOTHING {
            return (0, 0);
        }
        let least = self.least.max(1);
        (least, self.most.max(least))
    }
}

/// Divides `total` instances among services.
///
/// If all that they have use for fits, each is reserved it whole. Otherwise each has its least reserved and an even part
/// of half of what is left (no more than it has use for); the other half, with whatever small askers left of theirs,
/// is common.
///
/// # Errors
/// If there are fewer instances than the services need at least.
pub fn divide(total: u32, asks: &[Ask]) -> Result<Division, TooManyServices> {
    let bounds = || asks.iter().map(|ask| ask.bounds());
    let least: u64 = bounds().map(|(least, _)| u64::from(least)).sum();
    let most: u64 = bounds().map(|(_, most)| u64::from(most)).sum();
    let services = bounds().filter(|(least, _)| *least > 0).count();
    let left = u64::from(total).checked_sub(least);
    let left = left.ok_or(TooManyServices {
        services,
        least,
        total,
    })?;
    let more_max = if most <= u64::from(total) {
        u64::MAX
    } else {
        // There are services that ask for something, for with none the sum fits.
        left / 2 / services as u64
    };
    let more_max = u32::try_from(more_max).unwrap_or(u32::MAX);
    let reserved: Vec<u32> = bounds()
        .map(|(least, most)| least + (most - least).min(more_max))
        .collect();
    let common = if most <= u64::from(total) {
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

    /// Services that need one instance and have use for as many.
    fn asks(most: &[u32]) -> Vec<Ask> {
        most.iter()
            .map(|most| Ask {
                least: 1,
                most: *most,
            })
            .collect()
    }

    /// Instances that a service with this ask and reserve gets while the others use only their reserve.
    fn reach(ask: u32, reserved: u32, common: u32) -> u32 {
        ask.max(1).min(reserved + common)
    }

    #[test]
    fn asks_that_fit_are_reserved_whole() {
        let division = divide(100, &asks(&[64, 36])).unwrap();
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
        let division = divide(100, &asks(&[64, 64, 2])).unwrap();
        assert_eq!(
            division,
            Division {
                reserved: vec![17, 17, 2],
                common: 64
            }
        );
    }

    #[test]
    fn as_many_services_as_instances_get_one_each() {
        let division = divide(3, &asks(&[64, 64, 64])).unwrap();
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
            divide(2, &asks(&[1, 1, 1])).unwrap_err().to_string(),
            "3 services can't share a pool of 2 instances: they need at least 3; \
             set pool.instances to 3 or more, or serve fewer services"
        );
    }

    #[test]
    fn whoever_needs_several_to_work_at_all_has_them() {
        let large = Ask {
            least: 8,
            most: 512,
        };
        let mut all = asks(&[64; 40]);
        all.push(large);
        let division = divide(64, &all).unwrap();
        assert_eq!(division.reserved[40], 8);
        assert_eq!(division.common, 16);
        all.extend([large; 3]);
        assert_eq!(
            divide(64, &all).unwrap_err().to_string(),
            "44 services can't share a pool of 64 instances: they need at least 72; \
             set pool.instances to 72 or more, or serve fewer services"
        );
    }

    #[test]
    fn who_has_no_instances_takes_nothing_of_the_pool() {
        let one = Ask { least: 1, most: 64 };
        for (total, asks, reserved, common) in [
            (0, vec![Ask::NOTHING; 3], vec![0; 3], 0),
            (1, vec![Ask::NOTHING, one, Ask::NOTHING], vec![0, 1, 0], 0),
            (41, vec![one, Ask::NOTHING], vec![21, 0], 20),
        ] {
            let division = divide(total, &asks).unwrap();
            assert_eq!(division, Division { reserved, common });
        }
        let error = divide(1, &[one, one, Ask::NOTHING]).unwrap_err();
        assert_eq!((error.services, error.least), (2, 2));
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

    fn check(total: u32, most: &[u32]) {
        let Ok(division) = divide(total, &asks(most)) else {
            assert!(most.len() > total as usize);
            return;
        };
        let sum: u64 = division.reserved.iter().map(|r| u64::from(*r)).sum();
        assert!(
            sum + u64::from(division.common) <= u64::from(total),
            "{total} {most:?}"
        );
        for (ask, reserved) in most.iter().zip(&division.reserved) {
            assert!((1..=(*ask).max(1)).contains(reserved), "{total} {most:?}");
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
            if let Ok(before) = divide(total, &self::asks(&asks)) {
                let after = divide(total + more, &self::asks(&asks)).unwrap();
                for (before, after) in before.reserved.iter().zip(&after.reserved) {
                    prop_assert!(after >= before);
                }
            }
        }

        #[test]
        fn asking_for_more_never_gets_less(
            total in 0_u32..400, more in 0_u32..400, asks in prop::collection::vec(0_u32..100, 1..10)
        ) {
            if let Ok(before) = divide(total, &self::asks(&asks)) {
                let mut greedy = asks.clone();
                greedy[0] += more;
                let after = divide(total, &self::asks(&greedy)).unwrap();
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
            if let Ok(division) = divide(total, &self::asks(&asks)) {
                for (i, a) in asks.iter().enumerate() {
                    for (j, b) in asks.iter().enumerate() {
                        prop_assert!(a > b || division.reserved[i] <= division.reserved[j]);
                    }
                }
            }
        }
    }
}
