//! `skep diff`: where a candidate answers recorded requests otherwise than the running revision.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;
use skep_policy::name::ServiceName;

use super::client::Ask;
use super::remote::Remote;
use super::style::{Tone, harmless, paint};
use super::table::short;
use super::{Failure, moment};

/// Arguments of `skep diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service
    name: ServiceName,
    #[command(flatten)]
    remote: Remote,
}

/// What `GET /v1/services/NAME/diff` answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    service: String,
    candidate: Side,
    running: Side,
    requests: u64,
    same: u64,
    /// The first of them.
    differences: Vec<Difference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Side {
    revision: Option<u64>,
    digest: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Difference {
    request: Request,
    /// The running revision's, then the candidate's.
    status: Option<[u16; 2]>,
    headers: Vec<Header>,
    body: Option<Body>,
    /// The candidate's, if it failed.
    fault: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    method: String,
    path: String,
    at_unix_ms: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    name: String,
    running: Option<String>,
    candidate: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    running: Value,
    candidate: Value,
    /// Bytes that are the same.
    first_difference_at: Option<u64>,
}

impl Report {
    fn different(&self) -> u64 {
        self.requests.saturating_sub(self.same)
    }

    fn is_same(&self) -> bool {
        self.different() == 0 && self.differences.is_empty()
    }
}

/// Prints the last comparison: 1 if there are differences, as `diff` has it.
///
/// # Errors
/// When the host can't be asked, or has compared nothing.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let path = format!("/v1/services/{}/diff", args.name);
    let report = args.remote.show(Ask::get(path), render)?;
    Ok(match report.is_same() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn render(report: &Report, colours: bool) -> String {
    let (running, candidate) = (side(&report.running), side(&report.candidate));
    let name = harmless(&report.service);
    let mut text = paint(&format!("--- {name} {running}"), Tone::Strong, colours);
    text.push('\n');
    text.push_str(&paint(
        &format!("+++ {name} {candidate}"),
        Tone::Strong,
        colours,
    ));
    text.push_str(&format!(
        "\n{} requests, {} answered the same, {} otherwise\n",
        report.requests,
        report.same,
        report.different()
    ));
    for difference in &report.differences {
        text.push('\n');
        for (line, tone) in difference.lines() {
            text.push_str(&paint(&line, tone, colours));
            text.push('\n');
        }
    }
    let shown = report.differences.len() as u64;
    let left = report.different().saturating_sub(shown);
    if left > 0 {
        text.push_str(&format!("\n… and {left} more\n"));
    }
    text
}

fn side(side: &Side) -> String {
    let revision = side.revision;
    let revision = revision.map_or_else(|| "-".to_owned(), |number| format!("revision {number}"));
    let digest = side.digest.as_deref().map_or_else(|| "-".to_owned(), short);
    format!("{revision} {digest}")
}

impl Difference {
    fn lines(&self) -> Vec<(String, Tone)> {
        let Request {
            method,
            path,
            at_unix_ms,
        } = &self.request;
        let (method, path, at) = (
            harmless(method),
            harmless(path),
            moment::seconds(*at_unix_ms),
        );
        let mut lines = vec![(format!("@@ {method} {path}  {at} @@"), Tone::Faint)];
        let mut change = |running: Option<String>, candidate: Option<String>| {
            lines.extend(running.map(|text| (format!("-{text}"), Tone::Bad)));
            lines.extend(candidate.map(|text| (format!("+{text}"), Tone::Good)));
        };
        if let Some([running, candidate]) = self.status {
            change(
                Some(format!("status {running}")),
                Some(format!("status {candidate}")),
            );
        }
        for header in &self.headers {
            let line = |value: &Option<String>| {
                let value = value.as_deref().map(harmless);
                value.map(|value| format!("{}: {value}", harmless(&header.name)))
            };
            change(line(&header.running), line(&header.candidate));
        }
        if let Some(body) = &self.body {
            let at = body.first_difference_at;
            let at = at.map_or_else(String::new, |at| format!(" from byte {at}"));
            let line = |value: &Value| shown(value).map(|value| format!("body{at}: {value}"));
            change(line(&body.running), line(&body.candidate));
        }
        if let Some(fault) = &self.fault {
            lines.push((format!("!fault {}", harmless(fault)), Tone::Bad));
        }
        lines
    }
}

/// What is told of a body: a piece of it, or what else the host has to say.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(harmless(text)),
        other => Some(harmless(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_look_like_a_diff() {
        let report = r#"{"service":"hello","candidate":{"revision":4,"digest":"sha256:59c90c7443500"},
            "running":{"revision":3,"digest":"sha256:2e6a33b8f0820"},"requests":100,"same":97,"differences":[
            {"request":{"method":"GET","path":"/a?b","at_unix_ms":1795308233042},"status":[200,500],
             "headers":[{"name":"content-type","running":"text/plain","candidate":"text/html"},
                        {"name":"x-new","running":null,"candidate":"1"}],
             "body":{"running":"one","candidate":"t\u001bwo","first_difference_at":12},"fault":null},
            {"request":{"method":"POST","path":"/","at_unix_ms":0},"status":null,"headers":[],"body":null,
             "fault":"guest_trapped"}]}"#;
        let report: Report = serde_json::from_str(report).unwrap();
        assert!(!report.is_same());
        assert_eq!(
            render(&report, false),
            "\
--- hello revision 3 2e6a33b8f082
+++ hello revision 4 59c90c744350
100 requests, 97 answered the same, 3 otherwise

@@ GET /a?b  2026-11-22T00:43:53Z @@
-status 200
+status 500
-content-type: text/plain
+content-type: text/html
+x-new: 1
-body from byte 12: one
+body from byte 12: t\\u{1b}wo

@@ POST /  1970-01-01T00:00:00Z @@
!fault guest_trapped

… and 1 more
"
        );
    }

    #[test]
    fn without_differences_there_are_only_numbers() {
        let report = r#"{"service":"hello","candidate":{"revision":null,"digest":"sha256:59c90c7443500"},
            "running":{"revision":3,"digest":"sha256:2e6a33b8f0820"},"requests":5,"same":5,"differences":[]}"#;
        let report: Report = serde_json::from_str(report).unwrap();
        assert!(report.is_same());
        assert_eq!(
            render(&report, false),
            "--- hello revision 3 2e6a33b8f082\n+++ hello - 59c90c744350\n\
             5 requests, 5 answered the same, 0 otherwise\n"
        );
    }
}
