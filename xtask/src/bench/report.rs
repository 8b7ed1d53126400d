//! The bench's result: ratios beside what they shall reach, as a table, JSON and a plot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::json;

use super::folder;

// Pixels of the plot.
const BARS_LEFT: u32 = 320;
const REACH_WIDTH: u32 = 240;
const BAR_STEP: u32 = 26;

/// All that was measured: by contender and unit, a figure a round.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<(String, String), Vec<f64>>);

impl Figures {
    pub(super) fn add(&mut self, name: &str, unit: &str, figure: f64) {
        let key = (name.to_owned(), unit.to_owned());
        self.0.entry(key).or_default().push(figure);
    }

    fn get(&self, name: &str, unit: &str) -> Option<Median> {
        let mut sorted = self.0.get(&(name.to_owned(), unit.to_owned()))?.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Median {
            median: (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        })
    }
}

#[derive(Clone, Copy)]
struct Median {
    median: f64,
    min: f64,
    max: f64,
}

/// How two figures are compared.
enum Compare {
    /// Ours divided by the peer's, at least this.
    Ratio(&'static str, f64),
    /// Ours divided by the peer's, at most this.
    RatioAtMost(&'static str, f64),
    /// Ours less the peer's, at most this.
    LessAtMost(&'static str, f64),
    /// Ours alone, at most this.
    AtMost(f64),
}

/// A line of the report: what it says, whose figure, in which unit, and how it is compared.
type Line = (&'static str, &'static str, &'static str, Compare);

const LINES: &[Line] = {
    use Compare::{AtMost, LessAtMost, Ratio, RatioAtMost};
    const FRESH: &str = "skep p2 fresh";
    const QUIET: &str = "skep p2 fresh, no request log";
    const REUSED: &str = "skep p2 reused";
    const RATE: &str = "req/s";
    &[
        (
            "p2 fresh ÷ wasmtime serve",
            FRESH,
            RATE,
            Ratio("serve p2 fresh", 8.0),
        ),
        (
            "p2 fresh ÷ native hyper",
            FRESH,
            RATE,
            Ratio("native hello", 0.35),
        ),
        (
            "p2 fresh, no request log ÷ native hyper",
            QUIET,
            RATE,
            Ratio("native hello", 0.35),
        ),
        (
            "p2 fresh, no request log ÷ bare host",
            QUIET,
            RATE,
            Ratio("bare p2 fresh", 0.95),
        ),
        ("p2 fresh ÷ workerd", FRESH, RATE, Ratio("workerd", 1.0)),
        (
            "p2 reused ÷ wasmtime serve",
            REUSED,
            RATE,
            Ratio("serve p2 reused", 2.0),
        ),
        (
            "p2 reused ÷ native hyper",
            REUSED,
            RATE,
            Ratio("native hello", 0.5),
        ),
        (
            "p3 ÷ wasmtime serve",
            "skep p3",
            RATE,
            Ratio("serve p3", 2.0),
        ),
        (
            "p3 fresh ÷ wasmtime serve",
            "skep p3 fresh",
            RATE,
            Ratio("serve p3 fresh", 6.0),
        ),
        (
            "js (13 MB) fresh ÷ wasmtime serve",
            "skep js fresh",
            RATE,
            Ratio("serve js fresh", 3.0),
        ),
        (
            "p50 of p2 fresh − native, 1 connection",
            FRESH,
            "p50 µs",
            LessAtMost("native hello", 30.0),
        ),
        (
            "p3 echo of 64 MiB ÷ native hyper",
            "skep p3 echo",
            "MB/s",
            Ratio("native echo", 0.4),
        ),
        (
            "a call, fresh callee ÷ hop of native hyper",
            "skep hop, fresh",
            "added µs",
            RatioAtMost("native hop", 1.0),
        ),
        (
            "a call, reused callee ÷ hop of native hyper",
            "skep hop, reused",
            "added µs",
            RatioAtMost("native hop", 0.4),
        ),
        (
            "a call, reused callee ÷ workerd's service binding",
            "skep hop, reused",
            "added µs",
            RatioAtMost("workerd hop", 1.0),
        ),
        (
            "a function's call, reused callee ÷ hop of native hyper",
            "skep function, reused",
            "added µs",
            RatioAtMost("native hop", 0.1),
        ),
        (
            "JWT ÷ no policy",
            "skep, JWT",
            RATE,
            Ratio("skep, no policy", 0.85),
        ),
        (
            "rate limit ÷ no policy",
            "skep, rate limit",
            RATE,
            Ratio("skep, no policy", 0.85),
        ),
        (
            "CORS ÷ no policy",
            "skep, CORS",
            RATE,
            Ratio("skep, no policy", 0.85),
        ),
        (
            "access log ÷ no policy",
            "skep, access log",
            RATE,
            Ratio("skep, no policy", 0.85),
        ),
        (
            "JWT, rate limit, CORS and access log ÷ no policy",
            "skep, four policies",
            RATE,
            Ratio("skep, no policy", 0.85),
        ),
        (
            "fixed answer over TLS ÷ nginx",
            "skep, TLS",
            RATE,
            Ratio("nginx, TLS", 0.5),
        ),
        (
            "64 KiB of JSON as gzip ÷ nginx",
            "skep, gzip",
            RATE,
            Ratio("nginx, gzip", 0.5),
        ),
        (
            "drop-in to first 200, compiled before",
            "skep drop-in, compiled before",
            "ms",
            AtMost(5.0),
        ),
        (
            "drop-in to first 200, from source ÷ Cranelift",
            "skep drop-in from source",
            "ms",
            RatioAtMost("cranelift", 3.0),
        ),
        (
            "start of half the services",
            "skep start of half the services",
            "s",
            AtMost(3.0),
        ),
        (
            "start of all services",
            "skep start of all services",
            "s",
            AtMost(6.0),
        ),
        (
            "each idle service",
            "skep idle service",
            "KiB",
            AtMost(150.0),
        ),
        (
            "all services ÷ one",
            "skep all services",
            RATE,
            Ratio("skep one service", 0.7),
        ),
        (
            "p99 while a service is swapped ÷ quiet",
            "skep, swapped every 20 ms",
            "p99 µs",
            RatioAtMost("skep, quiet", 1.5),
        ),
    ]
};

struct Row {
    what: &'static str,
    unit: &'static str,
    more_is_better: bool,
    ours: Median,
    peer: Option<Median>,
    result: f64,
    reach: f64,
    reached: bool,
}

pub(super) struct Report<'a> {
    figures: &'a Figures,
    rows: Vec<Row>,
}

impl<'a> Report<'a> {
    pub(super) fn of(figures: &'a Figures) -> Self {
        let rows = LINES.iter().filter_map(|(what, name, unit, compare)| {
            let ours = figures.get(name, unit)?;
            let (peer, result, reach, reached) = match compare {
                Compare::Ratio(peer, reach) => {
                    let peer = figures.get(peer, unit)?;
                    let ratio = ours.median / peer.median;
                    (Some(peer), ratio, *reach, ratio >= *reach)
                }
                Compare::RatioAtMost(peer, reach) => {
                    let peer = figures.get(peer, unit)?;
                    let ratio = ours.median / peer.median;
                    (Some(peer), ratio, *reach, ratio <= *reach)
                }
                Compare::LessAtMost(peer, reach) => {
                    let peer = figures.get(peer, unit)?;
                    let less = ours.median - peer.median;
                    (Some(peer), less, *reach, less <= *reach)
                }
                Compare::AtMost(reach) => (None, ours.median, *reach, ours.median <= *reach),
            };
            Some(Row {
                what,
                unit,
                more_is_better: matches!(compare, Compare::Ratio(..)),
                ours,
                peer,
                result,
                reach,
                reached,
            })
        });
        Self {
            figures,
            rows: rows.collect(),
        }
    }

    /// Prints the table and writes it to target/bench as JSON and as a plot.
    pub(super) fn publish(&self) -> anyhow::Result<()> {
        print!("{}", self.table()?);
        fs::write(folder().join("results.json"), self.json().to_string())?;
        fs::write(folder().join("results.svg"), self.plot()?)?;
        println!("\nwritten to target/bench/results.json and target/bench/results.svg");
        Ok(())
    }

    fn table(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let spread = |median: Median| {
            let digits = if median.median < 100.0 { 2 } else { 0 };
            let Median { median, min, max } = median;
            format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
        };
        writeln!(
            text,
            "{:<46} {:>28} {:>28} {:>8} {:>7}",
            "what", "skep (spread)", "peer (spread)", "result", "reach"
        )?;
        for row in &self.rows {
            let peer = row.peer.map_or("-".to_owned(), spread);
            let mark = if row.reached { "" } else { "  short" };
            let ours = format!("{} {}", spread(row.ours), row.unit);
            writeln!(
                text,
                "{:<46} {ours:>28} {peer:>28} {:>8.2} {:>7.2}{mark}",
                row.what, row.result, row.reach
            )?;
        }
        Ok(text)
    }

    fn json(&self) -> serde_json::Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "what": row.what, "unit": row.unit, "skep": row.ours.median,
                    "peer": row.peer.map(|peer| peer.median), "result": row.result,
                    "reach": row.reach, "reached": row.reached,
                })
            })
            .collect();
        let figures: Vec<_> = self
            .figures
            .0
            .iter()
            .map(|((name, unit), rounds)| json!({ "name": name, "unit": unit, "rounds": rounds }))
            .collect();
        json!({ "rows": rows, "figures": figures })
    }

    /// Bars: how far each row is on the way to what it shall reach, which is the line.
    fn plot(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        let height = BAR_STEP * (1 + u32::try_from(self.rows.len())?);
        let line = BARS_LEFT + REACH_WIDTH;
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"{height}\" font-family=\"sans-serif\" \
             font-size=\"13\"><rect width=\"900\" height=\"{height}\" fill=\"white\"/>"
        )?;
        for (index, row) in (0..).zip(&self.rows) {
            let way = if row.more_is_better {
                row.result / row.reach
            } else {
                row.reach / row.result.max(f64::EPSILON)
            };
            let width = way.clamp(0.0, 2.0) * f64::from(REACH_WIDTH);
            let (top, text) = (BAR_STEP * index + 8, BAR_STEP * index + 21);
            let colour = if row.reached { "#3a7d44" } else { "#b5651d" };
            writeln!(
                svg,
                "<text x=\"8\" y=\"{text}\">{}</text><rect x=\"{BARS_LEFT}\" y=\"{top}\" width=\"{width:.0}\" \
                 height=\"16\" fill=\"{colour}\"/><text x=\"{}\" y=\"{text}\">{:.2}</text>",
                row.what,
                f64::from(BARS_LEFT) + width + 6.0,
                row.result
            )?;
        }
        writeln!(
            svg,
            "<line x1=\"{line}\" x2=\"{line}\" y1=\"0\" y2=\"{height}\" stroke=\"black\"/></svg>"
        )?;
        Ok(svg)
    }
}
