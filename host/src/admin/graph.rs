//! Who may call whom, and who did.

use std::collections::BTreeMap;

use serde::Serialize;
use skep_policy::name::ServiceName;

use super::services::quantile_ms;
use crate::host::Core;
use crate::registry::Service;
use crate::telemetry::edges::Edge;

/// All calls between services.
#[derive(Debug, Serialize)]
pub(super) struct Graph {
    edges: Vec<Call>,
}

/// Calls from one service to one other.
#[derive(Debug, Serialize)]
struct Call {
    caller: String,
    callee: String,
    /// `allowed`; `missing` if it is but the callee is not deployed; `past` if it was, and there were calls.
    state: &'static str,
    calls: u64,
    /// Over the last ten seconds.
    calls_per_second: f64,
    /// Calls answered with a status of 500 or more, by the callee or for it.
    errors: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// `closed`, `open` or `half_open`, if the caller has a breaker for these calls.
    breaker: Option<skep_policy::breaker::State>,
}

pub(super) fn graph(core: &Core) -> Graph {
    let snapshot = core.registry.snapshot();
    let services = &snapshot.services;
    let of = |service: &Service| {
        let made: BTreeMap<_, _> = service.standing.calls.all().into_iter().collect();
        let mut callees = service.config.allow.services.clone();
        let called = made.iter().filter(|(_, edge)| edge.traffic.begun() > 0);
        callees.extend(called.map(|(callee, _)| callee.clone()));
        let allowed = &service.config.allow.services;
        let calls = callees.into_iter().map(|callee| {
            let state = match (allowed.contains(&callee), services.contains_key(&callee)) {
                (true, true) => "allowed",
                (true, false) => "missing",
                (false, _) => "past",
            };
            Call::of(
                &service.name,
                &callee,
                state,
                made.get(&callee).map(|edge| &**edge),
            )
        });
        calls.collect::<Vec<_>>()
    };
    Graph {
        edges: services.values().flat_map(|service| of(service)).collect(),
    }
}

impl Call {
    fn of(
        caller: &ServiceName,
        callee: &ServiceName,
        state: &'static str,
        edge: Option<&Edge>,
    ) -> Self {
        let traffic = edge.map(|edge| &edge.traffic);
        let quantile = |quantile| traffic.and_then(|traffic| quantile_ms(traffic, quantile));
        let statuses = traffic
            .map(|traffic| traffic.statuses())
            .unwrap_or_default();
        let failed = statuses.iter().filter(|(status, _)| *status >= 500);
        Self {
            caller: caller.to_string(),
            callee: callee.to_string(),
            state,
            calls: traffic.map_or(0, |traffic| traffic.begun()),
            calls_per_second: edge.map_or(0.0, Edge::rate),
            errors: failed.map(|(_, count)| count).sum(),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            breaker: edge.and_then(|edge| edge.guards.breaker_state()),
        }
    }
}
