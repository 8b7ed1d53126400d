//! Which of two revisions a request goes to.

/// The part of requests that the candidate gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Percent: with 0 it gets none, with 100 all.
    pub weight: u8,
}

impl Split {
    /// Whether the request at this point goes to the candidate. Points are hashes, spread evenly over 64 bits: of the
    /// request's id, or of what stays the same when the same client is to stay on the same revision.
    ///
    /// Who goes to the candidate at one weight does so at every higher one. The lowest points are the first to go at
    /// every rollout; with the revision mixed into the hash it is others each time.
    #[must_use]
    pub fn takes_candidate(self, point: u64) -> bool {
        // The hundredth part of all points that this one lies in: at most 99.
        let percentile = (u128::from(point) * 100) >> 64;
        percentile < u128::from(self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POINTS: u64 = 100_000;

    /// Points that lie evenly, none of them on an edge.
    fn points() -> impl Iterator<Item = u64> {
        (0..POINTS).map(|index| u64::MAX / POINTS * index + u64::MAX / POINTS / 2)
    }

    #[test]
    fn the_candidate_gets_its_weight_of_even_points() {
        for weight in 0..=100 {
            let taken = points().filter(|point| Split { weight }.takes_candidate(*point));
            assert_eq!(taken.count() as u64, POINTS / 100 * u64::from(weight));
        }
    }

    #[test]
    fn none_and_all_are_exact() {
        for point in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert!(!Split { weight: 0 }.takes_candidate(point));
            assert!(Split { weight: 100 }.takes_candidate(point));
            assert!(Split { weight: u8::MAX }.takes_candidate(point));
        }
        assert!(Split { weight: 1 }.takes_candidate(0));
        assert!(!Split { weight: 99 }.takes_candidate(u64::MAX));
    }

    proptest! {
        #[test]
        fn nobody_leaves_the_candidate_as_its_weight_grows(point: u64, weight in 0..100u8) {
            let at = |weight| Split { weight }.takes_candidate(point);
            prop_assert!(at(weight + 1) || !at(weight));
        }

        /// Each hundredth of the points is one percent's, wherever the hash falls in it.
        #[test]
        fn every_point_begins_at_the_percent_that_it_lies_in(point: u64) {
            let first = (1..=100u8).find(|weight| Split { weight: *weight }.takes_candidate(point));
            let expected = (point as f64 / 2f64.powi(64) * 100.0).floor() as u8 + 1;
            let is_on_edge = point.wrapping_mul(100) < 1 << 20 || point.wrapping_mul(100) > u64::MAX - (1 << 20);
            prop_assert!(is_on_edge || first == Some(expected), "{first:?} {expected}");
        }
    }
}
