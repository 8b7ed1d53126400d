//! `skep history`: what happened to a service, by whom, and which of its revisions are kept.

use std::process::ExitCode;

use serde::Deserialize;
use skep_policy::name::ServiceName;

use super::api::{Event, words};
use super::client::Ask;
use super::remote::Remote;
use super::style::{Tone, harmless};
use super::table::{Columns, short};
use super::{Failure, moment, outcome};

const HEADINGS: [&str; 7] = [
    "WHEN", "WHO", "WHAT", "REVISION", "DIGEST", "SOURCE", "DETAIL",
];
const RIGHT: [bool; HEADINGS.len()] = [false, false, false, true, false, false, false];
const REVISION_HEADINGS: [&str; 3] = ["REVISION", "DIGEST", "STATE"];

/// Arguments of `skep history`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service
    name: ServiceName,
    /// Events at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    remote: Remote,
}

/// What `GET /v1/services/NAME/history` answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct History {
    revisions: Vec<Revision>,
    /// The newest first.
    events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Revision {
    revision: u64,
    digest: String,
    /// `running`, `candidate` or `kept`.
    state: String,
}

/// Prints the history of a service.
///
/// # Errors
/// When the host can't be asked, or knows no such service.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let path = format!("/v1/services/{}/history?limit={}", args.name, args.limit);
    args.remote.show(Ask::get(path), render)?;
    Ok(ExitCode::SUCCESS)
}

fn render(history: &History, colours: bool) -> String {
    let rows: Vec<[String; HEADINGS.len()]> = history.events.iter().map(cells).collect();
    let columns = Columns::of(&HEADINGS, RIGHT, &rows);
    let mut text = columns.headings(colours);
    for (event, row) in history.events.iter().zip(&rows) {
        let mut tones = [Tone::Plain; HEADINGS.len()];
        tones[2] = outcome::tone(&event.kind);
        tones[4] = Tone::Faint;
        text.push_str(&columns.line(row, tones, colours));
    }
    text.push('\n');
    text.push_str(&revisions(&history.revisions, colours));
    text
}

fn cells(event: &Event) -> [String; HEADINGS.len()] {
    let dash = || "-".to_owned();
    let text = |text: &Option<String>| text.as_deref().map_or_else(dash, harmless);
    [
        moment::seconds(event.at_unix_ms),
        text(&event.actor),
        words(&event.kind),
        event
            .revision
            .map_or_else(dash, |number| number.to_string()),
        event.digest.as_deref().map_or_else(dash, short),
        text(&event.source),
        event.detail.as_deref().map_or_else(String::new, harmless),
    ]
}

fn revisions(revisions: &[Revision], colours: bool) -> String {
    if revisions.is_empty() {
        return "no revision is kept\n".to_owned();
    }
    let row = |revision: &Revision| {
        [
            revision.revision.to_string(),
            short(&revision.digest),
            words(&revision.state),
        ]
    };
    let rows: Vec<[String; 3]> = revisions.iter().map(row).collect();
    let columns = Columns::of(&REVISION_HEADINGS, [true, false, false], &rows);
    let mut text = columns.headings(colours);
    for (revision, row) in revisions.iter().zip(&rows) {
        let state = match revision.state.as_str() {
            "running" => Tone::Good,
            "candidate" => Tone::Underway,
            _ => Tone::Plain,
        };
        text.push_str(&columns.line(row, [Tone::Plain, Tone::Faint, state], colours));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_revisions_line_up() {
        let history = r#"{"service":"hello","generation":4,
            "revisions":[{"revision":3,"digest":"sha256:59c90c7443500","state":"candidate"},
                         {"revision":2,"digest":"sha256:2e6a33b8f0820","state":"running"}],
            "events":[{"id":9,"at_unix_ms":1795308233042,"service":"hello","kind":"rollout_begun","revision":3,
                       "digest":"sha256:59c90c7443500","actor":"ci","source":"hello.wasm","detail":null},
                      {"id":8,"at_unix_ms":1795308200000,"service":"hello","kind":"refused","revision":null,
                       "digest":null,"actor":"anonymous","source":"x\u001b.wasm","detail":"not WebAssembly:\nrubbish"}]}"#;
        let history: History = serde_json::from_str(history).unwrap();
        assert_eq!(
            render(&history, false),
            "\
WHEN                  WHO        WHAT           REVISION  DIGEST        SOURCE        DETAIL
2026-11-22T00:43:53Z  ci         rollout begun         3  59c90c744350  hello.wasm
2026-11-22T00:43:20Z  anonymous  refused               -  -             x\\u{1b}.wasm  not WebAssembly: rubbish

REVISION  DIGEST        STATE
       3  59c90c744350  candidate
       2  2e6a33b8f082  running
"
        );
    }

    #[test]
    fn a_service_without_a_past_has_only_headings() {
        let text = render(&History::default(), false);
        assert!(text.starts_with("WHEN") && text.ends_with("\n\nno revision is kept\n"));
    }
}
