//! When a failed request is tried again: how often, after what pause, and for what share of all requests.
//!
//! Names and defaults are Envoy's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a service's requests are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Tries in all, the first one included.
    pub attempts: u32,
    /// What a try may take, if less than the request has left.
    pub per_try_timeout: Option<Duration>,
    /// The longest pause before the second try; doubles with every further one.
    pub backoff: Duration,
    /// No pause is longer.
    pub backoff_max: Duration,
    /// Percent of the service's requests that may be in a further try at a time.
    pub budget_percent: u8,
    /// So many may, whatever the percentage; and so many further tries may come of one request from outside.
    pub budget_min: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 2,
            per_try_timeout: None,
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            budget_percent: 20,
            budget_min: 3,
        }
    }
}

impl Settings {
    /// The pause before try number `attempt` (2 for the second): any time up to a limit that doubles, so that requests
    /// that failed together are not tried again together. `random` is from 0 up to 1.
    #[must_use]
    pub fn pause(&self, attempt: u32, random: f64) -> Duration {
        let doublings = attempt.saturating_sub(2).min(31);
        let most = self.backoff.saturating_mul(1 << doublings);
        most.min(self.backoff_max).mul_f64(random.clamp(0.0, 1.0))
    }

    /// Whether one more of `active` requests may be tried again while `retrying` are.
    #[must_use]
    pub fn has_budget(&self, active: u32, retrying: u32) -> bool {
        let share = u64::from(active) * u64::from(self.budget_percent) / 100;
        u64::from(retrying) < share.max(u64::from(self.budget_min))
    }
}

/// One request's tries so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tries {
    number: u32,
    has_share: bool,
}

impl Default for Tries {
    /// The first try.
    fn default() -> Self {
        Self {
            number: 1,
            has_share: false,
        }
    }
}

impl Tries {
    /// After which pause the request is tried once more; None if not at all. It is not if that is not `worth_it`, if all
    /// tries have been made, if the pause would take what is `left` of its time, or if one of the budgets is used up:
    /// `take_share` makes it one of the service's requests that are in further tries, once, and `take_try` takes one of the
    /// further tries that may come of the request from outside. `random` is from 0 up to 1.
    pub fn next(
        &mut self,
        settings: &Settings,
        worth_it: bool,
        left: Duration,
        random: f64,
        take_share: impl FnOnce() -> bool,
        take_try: impl FnOnce(u32) -> bool,
    ) -> Option<Duration> {
        let pause = settings.pause(self.number + 1, random);
        if !worth_it || self.number >= settings.attempts || pause >= left {
            return None;
        }
        self.has_share = self.has_share || take_share();
        if !self.has_share || !take_try(settings.budget_min) {
            return None;
        }
        self.number += 1;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_are_random_below() {
        let settings = Settings::default();
        let longest = |attempt| settings.pause(attempt, 1.0).as_millis();
        assert_eq!([2, 3, 4, 5, 6].map(longest), [25, 50, 100, 200, 250]);
        assert_eq!(longest(u32::MAX), 250);
        assert_eq!(settings.pause(2, 0.0), Duration::ZERO);
        assert_eq!(settings.pause(3, 0.5), Duration::from_millis(25));
    }

    #[test]
    fn the_budget_is_a_share_of_the_requests_and_never_less_than_its_floor() {
        let settings = Settings::default();
        for active in 0..200 {
            let most = (0..).take_while(|retrying| settings.has_budget(active, *retrying));
            assert_eq!(most.count() as u32, (active / 5).max(3), "{active}");
        }
    }

    /// A request of the model: when it comes, how long it may take, and which tries of it fail.
    #[derive(Clone, Debug)]
    struct Planned {
        comes: u64,
        time: u64,
        tree: usize,
        fails: Vec<(u64, bool)>,
    }

    fn planned() -> impl Strategy<Value = Planned> {
        let tries = proptest::collection::vec((1..50u64, proptest::bool::weighted(0.8)), 12);
        (0..200u64, 1..300u64, 0..4usize, tries).prop_map(|(comes, time, tree, fails)| Planned {
            comes,
            time,
            tree,
            fails,
        })
    }

    struct Running<'a> {
        plan: &'a Planned,
        tries: Tries,
        made: u32,
        /// When the try ends that is under way or waited for.
        ends: u64,
    }

    proptest! {
        /// Requests that come, fail and are tried again in any order keep to every bound there is.
        #[test]
        fn no_schedule_passes_the_budgets(
            plans in proptest::collection::vec(planned(), 1..60),
            attempts in 2..6u32,
            budget_percent in 1..100u8,
            budget_min in 1..6u32,
            random in 0.0..1.0f64,
        ) {
            let settings = Settings { attempts, budget_percent, budget_min, ..Settings::default() };
            let retrying = Cell::new(0_u32);
            let mut of_tree = [0_u32; 4];
            let mut running: Vec<Running<'_>> = Vec::new();
            for now in 0..2_000_u64 {
                for plan in plans.iter().filter(|plan| plan.comes == now) {
                    let ends = now + plan.fails[0].0;
                    running.push(Running { plan, tries: Tries::default(), made: 1, ends });
                }
                let active = running.len() as u32;
                let mut over = Vec::new();
                for (index, request) in running.iter_mut().enumerate().filter(|(_, r)| r.ends == now) {
                    let plan = request.plan;
                    let deadline = plan.comes + plan.time;
                    let failed = plan.fails[request.made as usize - 1].1;
                    let taken = Cell::new(of_tree[plan.tree]);
                    let next = request.tries.next(
                        &settings,
                        failed,
                        Duration::from_millis(deadline.saturating_sub(now)),
                        random,
                        || {
                            let has = settings.has_budget(active, retrying.get());
                            retrying.set(retrying.get() + u32::from(has));
                            has
                        },
                        |most| {
                            let may = taken.get() < most;
                            taken.set(taken.get() + u32::from(may));
                            may
                        },
                    );
                    of_tree[plan.tree] = taken.get();
                    match next {
                        Some(pause) => {
                            prop_assert!(failed);
                            let again = now + pause.as_millis() as u64;
                            prop_assert!(again < deadline);
                            prop_assert!(pause <= settings.backoff_max);
                            request.made += 1;
                            request.ends = again + plan.fails[request.made as usize - 1].0;
                        }
                        None => over.push((index, request.tries.has_share)),
                    }
                    prop_assert!(request.made <= attempts);
                }
                let share = (active * u32::from(budget_percent) / 100).max(budget_min);
                let holding = running.iter().filter(|request| request.tries.has_share).count() as u32;
                prop_assert_eq!(holding, retrying.get());
                // What was taken while more were active is kept.
                prop_assert!(retrying.get() <= share.max(plans.len() as u32 * u32::from(budget_percent) / 100));
                for (index, had_share) in over.into_iter().rev() {
                    running.remove(index);
                    retrying.set(retrying.get() - u32::from(had_share));
                }
                prop_assert!(of_tree.iter().all(|taken| *taken <= budget_min));
            }
            prop_assert_eq!(retrying.get(), 0);
        }
    }
}
