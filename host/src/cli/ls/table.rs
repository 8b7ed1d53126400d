//! Services as a table for people.

use std::os::fd::AsFd;

use super::{Rollout, Service};
use crate::cli::style::{Tone, harmless, paint};

const HEADINGS: [&str; 10] = [
    "SERVICE",
    "STATE",
    "REVISION",
    "ROLLOUT",
    "DIGEST",
    "KIND",
    "IN-FLIGHT",
    "REQUESTS",
    "FAULTS",
    "P99",
];
/// Columns that hold numbers, which stand to the right.
const RIGHT: [bool; HEADINGS.len()] = [
    false, false, true, false, false, false, true, true, true, true,
];
const ROLLOUT: usize = 3;
const GAP: &str = "  ";
const INDENT: &str = "    ";
const DIGEST_DIGITS: usize = 12;
const WIDTH_DEFAULT: usize = 100;
/// Narrower than this, wrapping helps nobody.
const WIDTH_MIN: usize = 40;

/// Columns that there are for text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width(usize);

impl Width {
    /// The terminal's, or a sensible one if `stream` is none.
    pub(super) fn of(stream: &impl AsFd) -> Self {
        let columns =
            rustix::termios::tcgetwinsize(stream).map_or(0, |size| usize::from(size.ws_col));
        Self(if columns == 0 {
            WIDTH_DEFAULT
        } else {
            columns.max(WIDTH_MIN)
        })
    }
}

pub(super) fn render(services: &[Service], width: Width, colours: bool) -> String {
    if services.is_empty() {
        return "no services yet: drop a component into the host's folder\n".to_owned();
    }
    let rows: Vec<[String; HEADINGS.len()]> = services.iter().map(cells).collect();
    let mut columns = Columns::of(&HEADINGS, RIGHT, &rows);
    if services.iter().all(|service| service.rollout.is_none()) {
        columns.hidden = Some(ROLLOUT);
    }
    let mut table = columns.headings(colours);
    for (service, row) in services.iter().zip(&rows) {
        let mut tones = [Tone::Plain; HEADINGS.len()];
        tones[1] = state_tone(&service.state);
        tones[ROLLOUT] = Tone::Underway;
        tones[4] = Tone::Faint;
        if service.faults > 0 {
            tones[8] = Tone::Bad;
        }
        table.push_str(&columns.line(row, tones, colours));
        for (note, tone) in notes(service) {
            for line in wrap(&harmless(&note), width.0 - INDENT.len()) {
                table.push_str(&format!("{INDENT}{}\n", paint(&line, tone, colours)));
            }
        }
    }
    table
}

/// What is to be said of a service below its line.
fn notes(service: &Service) -> Vec<(String, Tone)> {
    let missing = service.missing.join(", ");
    let missing = format!("not deployed, though it may call them: {missing}");
    let missing = (!service.missing.is_empty()).then_some((missing, Tone::Underway));
    let unbound = service.unbound.iter();
    let unbound = unbound.map(|why| (why.clone(), Tone::Underway));
    let fresh =
        "has failed in an instance that is used again: each request has a fresh one for now";
    let fresh = service
        .stepped_down
        .then(|| (fresh.to_owned(), Tone::Underway));
    let error = service.error.as_ref();
    let error = error.map(|error| (format!("error: {error}"), Tone::Bad));
    let lacks = missing.into_iter().chain(unbound);
    lacks.chain(fresh).chain(error).collect()
}

fn cells(service: &Service) -> [String; HEADINGS.len()] {
    let dash = || "-".to_owned();
    let digest = service
        .digest
        .as_deref()
        .map(|digest| digest.strip_prefix("sha256:").unwrap_or(digest));
    let breaker = service.breaker.as_deref().unwrap_or("closed");
    let state = match (service.state.as_str(), service.deploying, breaker) {
        ("ready", true, _) => "ready (deploying)",
        ("ready", false, "open") => "ready (breaker open)",
        ("ready", false, "half_open") => "ready (breaker half open)",
        (state, ..) => state,
    };
    let in_flight = match service.queued {
        0 => service.in_flight.to_string(),
        queued => format!("{}+{queued}", service.in_flight),
    };
    [
        harmless(&service.name),
        harmless(state),
        service
            .revision
            .map_or_else(dash, |revision| revision.to_string()),
        service.rollout.as_ref().map_or_else(dash, rollout),
        digest.map_or_else(dash, |digest| {
            harmless(&digest.chars().take(DIGEST_DIGITS).collect::<String>())
        }),
        service.kind.as_deref().map_or_else(dash, harmless),
        in_flight,
        service.requests.to_string(),
        service.faults.to_string(),
        service.p99_ms.map_or_else(dash, milliseconds),
    ]
}

/// `5% of 2`: what part of the requests which revision gets.
fn rollout(rollout: &Rollout) -> String {
    let of = format!("{}% of {}", rollout.weight, rollout.revision);
    match rollout.phase.as_str() {
        "progressing" => of,
        phase => format!("{of} ({})", harmless(phase)),
    }
}

/// Three digits at most before the unit.
pub(super) fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{:.0}us", ms * 1e3),
        ms if ms < 10.0 => format!("{ms:.1}ms"),
        ms if ms < 1e3 => format!("{ms:.0}ms"),
        ms => format!("{:.1}s", ms / 1e3),
    }
}

fn state_tone(state: &str) -> Tone {
    match state {
        "ready" => Tone::Good,
        "compiling" | "degraded" | "retiring" => Tone::Underway,
        "failed" | "unhealthy" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// Columns as wide as what stands in them.
pub(super) struct Columns<const N: usize> {
    headings: [&'static str; N],
    /// Those that hold numbers.
    right: [bool; N],
    widths: [usize; N],
    /// One that is left out.
    hidden: Option<usize>,
}

impl<const N: usize> Columns<N> {
    pub(super) fn of(headings: &[&'static str; N], right: [bool; N], rows: &[[String; N]]) -> Self {
        let widths = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([headings[column].len()]).max().unwrap_or(0)
        });
        Self {
            headings: *headings,
            right,
            widths,
            hidden: None,
        }
    }

    pub(super) fn headings(&self, colours: bool) -> String {
        self.line(
            &self.headings.map(str::to_owned),
            [Tone::Strong; N],
            colours,
        )
    }

    pub(super) fn line(&self, cells: &[String; N], tones: [Tone; N], colours: bool) -> String {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            if self.hidden == Some(column) {
                continue;
            }
            let fill = " ".repeat(self.widths[column] - cell.chars().count());
            let cell = paint(cell, tones[column], colours);
            let gap = if column == 0 { "" } else { GAP };
            line.push_str(gap);
            line.push_str(&if self.right[column] {
                fill + &cell
            } else {
                cell + &fill
            });
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// Breaks text between words; a word that is too long stands on a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> Vec<Service> {
        let hello = Service {
            name: "hello".into(),
            state: "ready".into(),
            revision: Some(12),
            digest: Some("sha256:0123456789abcdef0123456789abcdef".into()),
            kind: Some("wasi:http 0.2".into()),
            in_flight: 3,
            queued: 2,
            requests: 123_456,
            faults: 1,
            p99_ms: Some(1.25),
            ..Service::default()
        };
        let broken = Service {
            name: "my-broken-service".into(),
            state: "failed".into(),
            error: Some("the file is not a valid WebAssembly binary: build it again with current tools:\nunexpected \u{1b}[2J end".into()),
            ..Service::default()
        };
        vec![hello, broken]
    }

    #[test]
    fn columns_line_up_and_errors_wrap_below_their_service() {
        assert_eq!(
            render(&services(), Width(60), false),
            "\
SERVICE            STATE   REVISION  DIGEST        KIND           IN-FLIGHT  REQUESTS  FAULTS    P99
hello              ready         12  0123456789ab  wasi:http 0.2        3+2    123456       1  1.2ms
my-broken-service  failed         -  -             -                      0         0       0      -
    error: the file is not a valid WebAssembly binary: build
    it again with current tools: unexpected \\u{1b}[2J end
"
        );
    }

    #[test]
    fn a_rollout_has_a_column_if_there_is_one() {
        let mut services = services();
        services[0].rollout = Some(Rollout {
            revision: 13,
            weight: 5,
            phase: "paused".into(),
        });
        let table = render(&services[..1], Width(60), false);
        assert!(
            table.starts_with(
                "\
SERVICE  STATE  REVISION  ROLLOUT            DIGEST        KIND           IN-FLIGHT  REQUESTS  FAULTS    P99
hello    ready        12  5% of 13 (paused)  0123456789ab  wasi:http 0.2        3+2    123456       1  1.2ms
"
            ),
            "{table}"
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let plain = render(&services(), Width(60), false);
        let mut painted = render(&services(), Width(60), true);
        assert!(
            painted.contains("\x1b[32mready\x1b[0m") && painted.contains("\x1b[31mfailed\x1b[0m")
        );
        for code in [
            "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m",
        ] {
            painted = painted.replace(code, "");
        }
        let trimmed = |text: &str| {
            text.lines()
                .map(|line| line.trim_end().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(trimmed(&painted), trimmed(&plain));
    }

    #[test]
    fn nothing_served_is_said_so() {
        assert!(render(&[], Width(80), false).starts_with("no services yet"));
    }

    #[test]
    fn durations_have_a_fitting_unit() {
        let shown = [0.25, 1.25, 12.5, 999.4, 10_000.0].map(milliseconds);
        assert_eq!(shown, ["250us", "1.2ms", "12ms", "999ms", "10.0s"]);
    }
}
