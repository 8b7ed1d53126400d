//! Calls between services as a table for people.

use serde::Deserialize;

use crate::cli::style::{Tone, harmless};
use crate::cli::table::{Columns, milliseconds};

const HEADINGS: [&str; 9] = [
    "CALLER",
    "CALLEE",
    "STATE",
    "CALLS",
    "PER-SECOND",
    "ERRORS",
    "P50",
    "P99",
    "BREAKER",
];
const RIGHT: [bool; HEADINGS.len()] = [false, false, false, true, true, true, true, true, false];

/// What `GET /v1/graph` answers, as far as it is shown. Hosts of other versions may say more or less.
#[derive(Debug, Deserialize)]
pub(super) struct Graph {
    edges: Vec<Call>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Call {
    caller: String,
    callee: String,
    state: String,
    calls: u64,
    calls_per_second: f64,
    errors: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    breaker: Option<String>,
}

pub(super) fn render(graph: &Graph, colours: bool) -> String {
    if graph.edges.is_empty() {
        return "no service may call another: list names in `services` under [allow] in a manifest\n"
            .to_owned();
    }
    let rows: Vec<[String; HEADINGS.len()]> = graph.edges.iter().map(cells).collect();
    let columns = Columns::of(&HEADINGS, RIGHT, &rows);
    let mut table = columns.headings(colours);
    for (call, row) in graph.edges.iter().zip(&rows) {
        let mut tones = [Tone::Plain; HEADINGS.len()];
        tones[2] = match call.state.as_str() {
            "allowed" => Tone::Good,
            "missing" => Tone::Bad,
            _ => Tone::Faint,
        };
        if call.errors > 0 {
            tones[5] = Tone::Bad;
        }
        if call
            .breaker
            .as_deref()
            .is_some_and(|state| state != "closed")
        {
            tones[8] = Tone::Bad;
        }
        table.push_str(&columns.line(row, tones, colours));
    }
    table
}

fn cells(call: &Call) -> [String; HEADINGS.len()] {
    let time = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), milliseconds);
    [
        harmless(&call.caller),
        harmless(&call.callee),
        harmless(&call.state),
        call.calls.to_string(),
        format!("{:.1}", call.calls_per_second),
        call.errors.to_string(),
        time(call.p50_ms),
        time(call.p99_ms),
        harmless(call.breaker.as_deref().unwrap_or("-")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_line_up() {
        let call = |callee: &str, state: &str, calls, p99_ms| Call {
            caller: "orders".into(),
            callee: callee.into(),
            state: state.into(),
            calls,
            calls_per_second: 12.34,
            errors: 1,
            p50_ms: None,
            p99_ms,
            breaker: p99_ms.map(|_| "open".into()),
        };
        let graph = Graph {
            edges: vec![
                call("payment", "allowed", 120, Some(1.25)),
                call("tax", "missing", 0, None),
            ],
        };
        assert_eq!(
            render(&graph, false),
            "CALLER  CALLEE   STATE    CALLS  PER-SECOND  ERRORS  P50    P99  BREAKER\n\
             orders  payment  allowed    120        12.3       1    -  1.2ms  open\n\
             orders  tax      missing      0        12.3       1    -      -  -\n"
        );
        assert!(render(&Graph { edges: vec![] }, false).contains("[allow]"));
    }
}
