//! What happened between two moments, a row a service.

use std::time::Duration;

use serde::Serialize;

use super::Sample;
use super::metrics::Counted;
use crate::cli::api::{Rollout, words};
use crate::cli::style::{Tone, harmless};
use crate::cli::table::{Columns, bytes, milliseconds};

const HEADINGS: [&str; 10] = [
    "SERVICE",
    "REVISION",
    "REQ/S",
    "ERRORS",
    "P50",
    "P99",
    "CPU",
    "MEMORY",
    "IN-FLIGHT",
    "ROLLOUT",
];
const RIGHT: [bool; HEADINGS.len()] =
    [false, true, true, true, true, true, true, true, true, false];
const ERRORS: usize = 3;
const ROLLOUT: usize = HEADINGS.len() - 1;
/// The headings, the line that says what is left out, and the one that the cursor is on.
const LINES_BESIDE_ROWS: usize = 3;

/// One service.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Row {
    name: String,
    revision: u64,
    /// Requests that ended, a second.
    requests_per_second: f64,
    /// Those of them that were answered with 500 and more.
    errors_per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Cores that its guests kept busy; those count whose instances have ended.
    cpu_cores: f64,
    /// Linear memory that its instances hold.
    memory_bytes: u64,
    in_flight: u64,
    queued: u64,
    rollout: Option<Rollout>,
}

/// The busiest first.
pub(super) fn between(before: &Sample, now: &Sample, interval: Duration) -> Vec<Row> {
    let nothing = Counted::default();
    let seconds = interval.as_secs_f64().max(f64::MIN_POSITIVE);
    let row = |(name, now_counted): (&String, &Counted)| {
        let before = before.counted.get(name).unwrap_or(&nothing);
        let durations = between_buckets(before, now_counted);
        Row {
            name: name.clone(),
            revision: now_counted.revision,
            requests_per_second: grown(before.requests, now_counted.requests) / seconds,
            errors_per_second: grown(before.errors, now_counted.errors) / seconds,
            p50_ms: quantile_ms(&durations, 0.5),
            p99_ms: quantile_ms(&durations, 0.99),
            cpu_cores: grown(before.cpu_seconds, now_counted.cpu_seconds) / seconds,
            memory_bytes: now_counted.memory_bytes,
            in_flight: now_counted.in_flight,
            queued: now_counted.queued,
            rollout: now.rollouts.get(name).cloned(),
        }
    };
    let mut rows: Vec<Row> = now.counted.iter().map(row).collect();
    rows.sort_by(|one, other| {
        let rate = other
            .requests_per_second
            .total_cmp(&one.requests_per_second);
        rate.then_with(|| one.name.cmp(&other.name))
    });
    rows
}

/// What a counter has grown by; a host that was started again counts from zero.
fn grown(before: f64, now: f64) -> f64 {
    if now >= before { now - before } else { now }
}

/// Upper bounds in seconds, and how many of the interval's requests took no longer.
fn between_buckets(before: &Counted, now: &Counted) -> Vec<(f64, f64)> {
    let of = |counted: &Counted| counted.durations.last().map_or(0.0, |(_, count)| *count);
    let is_again = of(now) < of(before);
    let earlier = |index: usize| match before.durations.get(index) {
        Some((_, count)) if !is_again => *count,
        _ => 0.0,
    };
    let buckets = now.durations.iter().enumerate();
    buckets
        .map(|(index, (bound, count))| (*bound, count - earlier(index)))
        .collect()
}

/// As Prometheus has it: evenly spread within a bucket; from the one without a bound, its lower one.
fn quantile_ms(buckets: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    if all <= 0.0 {
        return None;
    }
    let wanted = all * quantile;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted && bound.is_finite() && *count > below {
            return Some((lower + (bound - lower) * (wanted - below) / (count - below)) * 1e3);
        }
        if bound.is_finite() {
            (lower, below) = (*bound, *count);
        }
    }
    Some(lower * 1e3)
}

/// A table of no more lines than there is room for.
pub(super) fn render(rows: &[Row], height: usize, colours: bool) -> String {
    if rows.is_empty() {
        return "no services yet\n".to_owned();
    }
    let room = height.saturating_sub(LINES_BESIDE_ROWS).max(1);
    let shown = &rows[..rows.len().min(room)];
    let cells: Vec<[String; HEADINGS.len()]> = shown.iter().map(cells).collect();
    let columns = Columns::of(&HEADINGS, RIGHT, &cells);
    let mut table = columns.headings(colours);
    for (row, cells) in shown.iter().zip(&cells) {
        let mut tones = [Tone::Plain; HEADINGS.len()];
        if row.errors_per_second > 0.0 {
            tones[ERRORS] = Tone::Bad;
        }
        tones[ROLLOUT] = Tone::Underway;
        table.push_str(&columns.line(cells, tones, colours));
    }
    if shown.len() < rows.len() {
        table.push_str(&format!("… and {} more\n", rows.len() - shown.len()));
    }
    table
}

fn cells(row: &Row) -> [String; HEADINGS.len()] {
    let time = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), milliseconds);
    let errors = match row.requests_per_second {
        rate if rate > 0.0 => format!("{:.1}%", row.errors_per_second / rate * 1e2),
        _ => "-".to_owned(),
    };
    let in_flight = match row.queued {
        0 => row.in_flight.to_string(),
        queued => format!("{}+{queued}", row.in_flight),
    };
    [
        harmless(&row.name),
        match row.revision {
            0 => "-".to_owned(),
            number => number.to_string(),
        },
        format!("{:.1}", row.requests_per_second),
        errors,
        time(row.p50_ms),
        time(row.p99_ms),
        format!("{:.1}%", row.cpu_cores * 1e2),
        bytes(row.memory_bytes),
        in_flight,
        row.rollout.as_ref().map_or_else(String::new, rollout),
    ]
}

fn rollout(rollout: &Rollout) -> String {
    let Rollout {
        weight,
        step,
        steps,
        phase,
        ..
    } = rollout;
    let revision = rollout.revision;
    let revision = revision.map_or_else(String::new, |number| format!("revision {number} "));
    format!("{revision}{weight}% ({step}/{steps}) {}", words(phase))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use super::*;

    fn counted(requests: f64, errors: f64, durations: &[(f64, f64)]) -> Counted {
        Counted {
            revision: 3,
            requests,
            errors,
            cpu_seconds: requests / 1e3,
            memory_bytes: 17 << 20,
            in_flight: 2,
            queued: 0,
            durations: durations.to_vec(),
        }
    }

    fn sample(services: &[(&str, Counted)]) -> Sample {
        let services = services.iter();
        Sample {
            at: Instant::now(),
            counted: services
                .map(|(name, counted)| ((*name).to_owned(), counted.clone()))
                .collect(),
            rollouts: BTreeMap::new(),
        }
    }

    const NONE: f64 = f64::INFINITY;

    #[test]
    fn rates_are_of_the_interval_alone() {
        let before = sample(&[
            (
                "a",
                counted(100.0, 10.0, &[(0.001, 90.0), (0.01, 100.0), (NONE, 100.0)]),
            ),
            ("b", counted(500.0, 0.0, &[(0.001, 500.0), (NONE, 500.0)])),
        ]);
        let mut now = sample(&[
            (
                "a",
                counted(300.0, 20.0, &[(0.001, 190.0), (0.01, 300.0), (NONE, 300.0)]),
            ),
            // Started again.
            ("b", counted(20.0, 0.0, &[(0.001, 20.0), (NONE, 20.0)])),
            ("c", counted(0.0, 0.0, &[(0.001, 0.0), (NONE, 0.0)])),
        ]);
        let rollout = r#"{"revision":4,"phase":"paused","weight":5,"step":1,"steps":3}"#;
        let rollout = serde_json::from_str(rollout).unwrap();
        now.rollouts.insert("a".into(), rollout);
        let rows = between(&before, &now, Duration::from_secs(2));
        assert_eq!(
            render(&rows, 80, false),
            "\
SERVICE  REVISION  REQ/S  ERRORS    P50    P99    CPU   MEMORY  IN-FLIGHT  ROLLOUT
a               3  100.0    5.0%  1.0ms  9.8ms  10.0%  17.0MiB          2  revision 4 5% (1/3) paused
b               3   10.0    0.0%  500us  990us   1.0%  17.0MiB          2
c               3    0.0       -      -      -   0.0%  17.0MiB          2
"
        );
        assert_eq!(render(&rows, 4, false).lines().last(), Some("… and 2 more"));
        assert_eq!(render(&[], 4, false), "no services yet\n");
    }

    #[test]
    fn quantiles_lie_within_their_buckets() {
        let buckets = [(0.1, 0.0), (0.2, 50.0), (0.4, 100.0), (NONE, 100.0)];
        let quantile = |wanted| quantile_ms(&buckets, wanted).unwrap().round();
        assert!((quantile(0.25) - 150.0).abs() < 1.0);
        assert!((quantile(0.5) - 200.0).abs() < 1.0);
        assert!((quantile(0.75) - 300.0).abs() < 1.0);
        assert_eq!(quantile_ms(&[(0.1, 0.0), (NONE, 3.0)], 0.5), Some(100.0));
        assert_eq!(quantile_ms(&[(0.1, 0.0), (NONE, 0.0)], 0.5), None);
        assert_eq!(quantile_ms(&[], 0.5), None);
    }
}
