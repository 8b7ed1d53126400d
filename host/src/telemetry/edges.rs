//! Calls between services: counted for each pair of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use skep_policy::name::ServiceName;

use super::traffic::Traffic;
use crate::config::service::tolerance::{CallRules, Tolerance};
use crate::request::tolerate::Guards;

/// The calls of one service, by the service that they go to.
#[derive(Debug, Default)]
pub(crate) struct Edges(RwLock<BTreeMap<ServiceName, Arc<Edge>>>);

/// Calls from one service to one other.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    pub(crate) traffic: Traffic,
    /// Of the caller's rules for these calls.
    pub(crate) guards: Guards,
    /// Calls that have a place, where their number is bounded.
    working: AtomicU32,
    recent: Recent,
}

impl Edges {
    /// The edge to `callee`, from its first call on.
    pub(crate) fn to(&self, callee: &ServiceName) -> Arc<Edge> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(edge) = known.get(callee) {
            return edge.clone();
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(callee.clone()).or_default().clone()
    }

    /// Takes over what the caller's manifest says of its calls.
    pub(crate) fn configure(&self, rules: &BTreeMap<ServiceName, CallRules>) {
        for callee in rules.keys() {
            self.to(callee);
        }
        let nothing = Tolerance::default();
        for (callee, edge) in self.all() {
            let rules = rules.get(&callee);
            let tolerance = rules.map_or(&nothing, |rules| &rules.tolerance);
            edge.guards.configure(tolerance);
        }
    }

    /// All edges that have had a call, or that have rules.
    pub(crate) fn all(&self) -> Vec<(ServiceName, Arc<Edge>)> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .map(|(callee, edge)| (callee.clone(), edge.clone()))
            .collect()
    }
}

impl Edge {
    pub(crate) fn begin(&self) {
        self.traffic.begin();
        self.recent.count(second());
    }

    /// Takes one of so many places, to be given back by [`Self::leave`].
    pub(crate) fn enter(&self, most: u32) -> bool {
        let more = |working| (working < most).then_some(working + 1);
        self.working.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    pub(crate) fn leave(&self) {
        self.working.fetch_sub(1, Relaxed);
    }

    /// Calls a second, over the last ten seconds.
    pub(crate) fn rate(&self) -> f64 {
        self.recent.rate(second())
    }
}

/// Seconds of a clock that all edges share.
fn second() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // Later than every span that is looked back on.
    START.get_or_init(Instant::now).elapsed().as_secs() + SECONDS
}

/// Whole seconds that a rate is taken over.
const SECONDS: u64 = 10;
/// More than [`SECONDS`], so that a second is not counted anew while it is read.
const SLOTS: usize = 16;

/// How often something happened in each of the last seconds.
#[derive(Debug, Default)]
struct Recent([AtomicU64; SLOTS]);

/// A slot's second in the upper half, its count in the lower.
const COUNT_BITS: u32 = 32;

impl Recent {
    fn slot(&self, second: u64) -> &AtomicU64 {
        &self.0[usize::try_from(second).unwrap_or(0) % SLOTS]
    }

    fn count(&self, second: u64) {
        let begun = second << COUNT_BITS;
        let counted = self.slot(second).fetch_update(Relaxed, Relaxed, |slot| {
            let is_current = slot >> COUNT_BITS == second;
            Some(1 + if is_current { slot } else { begun })
        });
        debug_assert!(counted.is_ok(), "there is always a next count");
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "a rate of more than 2^53 a second is out of reach"
    )]
    fn rate(&self, now: u64) -> f64 {
        let counts = (now.saturating_sub(SECONDS)..now).map(|second| {
            let slot = self.slot(second).load(Relaxed);
            let is_current = slot >> COUNT_BITS == second;
            if is_current {
                slot & u64::from(u32::MAX)
            } else {
                0
            }
        });
        counts.sum::<u64>() as f64 / SECONDS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_whole_seconds() {
        let recent = Recent::default();
        for second in 100..130 {
            for _ in 0..second - 100 {
                recent.count(second);
            }
        }
        // 20 to 29 a second, 10 seconds; the second under way does not count.
        assert!((recent.rate(130) - 24.5).abs() < 1e-9);
        recent.count(130);
        assert!((recent.rate(130) - 24.5).abs() < 1e-9);
        assert!((recent.rate(139) - 3.0).abs() < 1e-9);
        assert!(recent.rate(150).abs() < 1e-9);
    }

    #[test]
    fn an_edge_is_the_same_for_all_who_ask() {
        let (edges, name) = (Edges::default(), ServiceName::try_from("a").unwrap());
        edges.to(&name).begin();
        edges.to(&name).begin();
        let all = edges.all();
        assert_eq!((all.len(), all[0].1.traffic.begun()), (1, 2));
    }
}
