//! Services as a table for people.

use super::{Rollout, Service};
use crate::cli::style::{Tone, harmless, paint};
use crate::cli::table::{Columns, Width, milliseconds, short, wrap};

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
const INDENT: &str = "    ";

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
        service.digest.as_deref().map_or_else(dash, short),
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

fn state_tone(state: &str) -> Tone {
    match state {
        "ready" => Tone::Good,
        "compiling" | "degraded" | "retiring" => Tone::Underway,
        "failed" | "unhealthy" => Tone::Bad,
        _ => Tone::Plain,
    }
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
}
