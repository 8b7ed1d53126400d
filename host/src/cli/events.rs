//! `skep events` and `skep logs`: what happens on a host and what its guests write, a line each.

use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use skep_policy::name::ServiceName;

use super::api::{Event, Events, words};
use super::client::Target;
use super::remote::Remote;
use super::style::{Tone, harmless, paint, tinted};
use super::table::short;
use super::{Failure, moment, outcome, output_failed};
use crate::telemetry::log;

/// Past events that stand before those that are followed.
const PAST_FOLLOWED: u64 = 10;
/// Past events if nothing is followed.
const PAST: u64 = 100;
/// The longest word for what happens.
const KIND_CHARS: usize = "rollout aborted".len();

/// Arguments of `skep events`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service [default: all]
    name: Option<ServiceName>,
    /// Go on with what happens from now on
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `skep logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// The service [default: all]
    name: Option<ServiceName>,
    /// As always: a host keeps no lines, so that there are only those that are still to come
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    remote: Remote,
}

/// A line that a guest has written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct LogLine {
    at_unix_ms: u64,
    service: String,
    revision: Option<u64>,
    /// `stdout` or `stderr`.
    stream: String,
    text: String,
}

/// Lines whose services stand in one column, which grows with the longest name so far.
#[derive(Debug, Default)]
struct Lines {
    name_chars: usize,
    colours: bool,
}

/// Prints past events, oldest first, and those to come if they are to be followed.
///
/// # Errors
/// When the host can't be asked, or stays away.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut output = io::stdout().lock();
    let mut lines = Lines::new(&output);
    let of = query(args.name.as_ref());
    args.remote.run(async |target| {
        let limit = if args.follow { PAST_FOLLOWED } else { PAST };
        let path = format!("/v1/events?{of}limit={limit}");
        let Events { events } = target.read(&path).await?;
        for event in events.iter().rev() {
            let printed = print(&mut output, args.remote.json, event, || lines.event(event));
            if let Err(error) = printed {
                return output_failed(error);
            }
        }
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        let after = events.iter().find_map(|event| event.id).unwrap_or(0);
        let path = format!("/v1/events?{of}after={after}");
        each(target, path, |event: Event| {
            print(&mut output, args.remote.json, &event, || {
                lines.event(&event)
            })
        })
        .await
    })
}

/// Prints what guests write from now on.
///
/// # Errors
/// As above.
pub fn logs(args: &LogsArgs) -> Result<ExitCode, Failure> {
    let mut output = io::stdout().lock();
    let mut lines = Lines::new(&output);
    let path = format!("/v1/logs?{}", query(args.name.as_ref()));
    let path = path.trim_end_matches(['?', '&']).to_owned();
    args.remote.run(async |target| {
        each(target, path, |line: LogLine| {
            print(&mut output, args.remote.json, &line, || lines.log(&line))
        })
        .await
    })
}

/// The id of the newest event that a host keeps, 0 if there is none. `of` as in a query.
pub(super) async fn newest_id(
    target: &Target,
    of: &str,
) -> Result<i64, super::client::ClientError> {
    let Events { events } = target.read(&format!("/v1/events?{of}limit=1")).await?;
    Ok(events.iter().find_map(|event| event.id).unwrap_or(0))
}

fn query(name: Option<&ServiceName>) -> String {
    name.map_or_else(String::new, |name| format!("service={name}&"))
}

/// Hands on what is followed until nobody reads the output any more.
async fn each<T: for<'de> Deserialize<'de>>(
    target: &Target,
    path: String,
    mut print: impl FnMut(T) -> io::Result<()>,
) -> Result<ExitCode, Failure> {
    let mut feed = target.follow(path).await?;
    loop {
        let message = feed.next().await?;
        if message.kind == "missed" {
            // With standard error gone there is nobody left to tell.
            writeln!(io::stderr(), "some lines came too fast and were missed").ok();
            continue;
        }
        // What can't be read is not for this version.
        if let Ok(said) = serde_json::from_str(&message.data)
            && let Err(error) = print(said)
        {
            return output_failed(error);
        }
    }
}

fn print(
    output: &mut StdoutLock<'_>,
    json: bool,
    said: &impl Serialize,
    line: impl FnOnce() -> String,
) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *output, said).map_err(io::Error::from)?;
        writeln!(output)?;
    } else {
        output.write_all(line().as_bytes())?;
    }
    output.flush()
}

impl Lines {
    fn new(output: &StdoutLock<'_>) -> Self {
        Self {
            name_chars: 0,
            colours: log::colours(output),
        }
    }

    /// A name in its own colour, and the rest of its column.
    fn name(&mut self, name: &str) -> String {
        let name = harmless(name);
        let chars = name.chars().count();
        self.name_chars = self.name_chars.max(chars);
        let fill = " ".repeat(self.name_chars - chars);
        format!("{}{fill}", tinted(&name, self.colours))
    }

    fn event(&mut self, event: &Event) -> String {
        let at = moment::seconds(event.at_unix_ms);
        let kind = outcome::painted(&event.kind, self.colours);
        let fill = " ".repeat(KIND_CHARS.saturating_sub(words(&event.kind).chars().count()));
        let mut line = format!("{at}  {}  {kind}{fill}", self.name(&event.service));
        let mut add = |text: &str, tone| {
            line.push_str("  ");
            line.push_str(&paint(text, tone, self.colours));
        };
        if let Some(revision) = event.revision {
            add(&format!("revision {revision}"), Tone::Plain);
        }
        if let Some(digest) = &event.digest {
            add(&short(digest), Tone::Faint);
        }
        if let Some(actor) = &event.actor {
            add(&format!("by {}", harmless(actor)), Tone::Plain);
        }
        if let Some(source) = &event.source {
            add(&format!("from {}", harmless(source)), Tone::Plain);
        }
        if let Some(detail) = &event.detail {
            add(&harmless(detail), outcome::tone(&event.kind));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }

    fn log(&mut self, said: &LogLine) -> String {
        let at = paint(&moment::millis(said.at_unix_ms), Tone::Faint, self.colours);
        let tone = match said.stream.as_str() {
            "stderr" => Tone::Underway,
            _ => Tone::Plain,
        };
        let text = paint(&harmless(&said.text), tone, self.colours);
        format!("{at}  {}  {text}\n", self.name(&said.service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(colours: bool) -> Lines {
        Lines {
            name_chars: 0,
            colours,
        }
    }

    #[test]
    fn an_event_is_a_line_with_all_that_is_known() {
        let event = r#"{"id":7,"at_unix_ms":1795308233042,"service":"hello","kind":"promoted","revision":3,
            "digest":"sha256:59c90c744350aa","actor":"ci","source":"hello.wasm","detail":null}"#;
        let event: Event = serde_json::from_str(event).unwrap();
        let mut plain = lines(false);
        assert_eq!(
            plain.event(&event),
            "2026-11-22T00:43:53Z  hello  promoted         revision 3  59c90c744350  by ci  from hello.wasm\n"
        );
        let passing = Event {
            service: "a".into(),
            kind: "refused".into(),
            detail: Some("no\n\u{1b}[2J".into()),
            ..Event::default()
        };
        assert_eq!(
            plain.event(&passing),
            "1970-01-01T00:00:00Z  a      refused          no \\u{1b}[2J\n"
        );
        let bare = Event::default();
        assert_eq!(plain.event(&bare), "1970-01-01T00:00:00Z\n");
    }

    #[test]
    fn a_log_line_is_a_line() {
        let said = r#"{"at_unix_ms":1795308233042,"service":"hello","revision":3,"stream":"stderr","text":"a\tb\nc"}"#;
        let said: LogLine = serde_json::from_str(said).unwrap();
        assert_eq!(
            lines(false).log(&said),
            "2026-11-22T00:43:53.042Z  hello  a\\tb c\n"
        );
        let painted = lines(true).log(&said);
        assert!(painted.contains("\x1b[33ma\\tb c\x1b[0m"), "{painted:?}");
    }
}
