//! How far a deployment is, for a person at a terminal. Without a terminal only the steps of rollouts are shown.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::api::Event;
use crate::cli::style::harmless;
use crate::cli::table::milliseconds;

const TICK: Duration = Duration::from_millis(100);
/// Stages stand in a column of their own.
const STAGE_CHARS: usize = 24;

/// What is shown on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    /// None if nobody watches.
    bar: Option<ProgressBar>,
    stage: Option<Stage>,
}

#[derive(Debug)]
struct Stage {
    what: String,
    since: Instant,
}

impl Progress {
    pub(super) fn new(shown: bool) -> Self {
        Self {
            bar: shown.then(ProgressBar::new_spinner),
            stage: None,
        }
    }

    /// Whether anybody watches.
    pub(super) fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Begins to upload; the bar tells how much has gone.
    pub(super) fn upload(&mut self) -> ProgressBar {
        self.begin("uploading");
        let Some(bar) = &self.bar else {
            return ProgressBar::hidden();
        };
        let bytes = "{spinner} {msg} {binary_bytes} of {binary_total_bytes}";
        let style = ProgressStyle::with_template(bytes);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.clone()
    }

    /// Something happened to a service that is being deployed.
    pub(super) fn event(&mut self, event: &Event) {
        let what = match event.kind.as_str() {
            "deploying" => "deploying",
            "stage" => event.detail.as_deref().unwrap_or("working"),
            _ => return,
        };
        self.begin(&format!("{} {what}", event.service));
        if let Some(bar) = &self.bar {
            bar.set_style(ProgressStyle::default_spinner());
        }
    }

    /// The stage is over, and the next begins.
    fn begin(&mut self, what: &str) {
        let what = harmless(what);
        self.finish_stage();
        if let Some(bar) = &self.bar {
            bar.set_message(what.clone());
            bar.enable_steady_tick(TICK);
        }
        let since = Instant::now();
        self.stage = Some(Stage { what, since });
    }

    fn finish_stage(&mut self) {
        if let (Some(bar), Some(stage)) = (&self.bar, self.stage.take()) {
            bar.println(stage.line(stage.since.elapsed()));
        }
    }

    /// Says something of a rollout, whoever watches.
    pub(super) fn say(&mut self, line: &str) {
        self.finish_stage();
        match &self.bar {
            Some(bar) => bar.println(line),
            // With standard error gone there is nobody left to tell.
            None => drop(writeln!(io::stderr(), "{line}")),
        }
    }

    /// Takes the bar away; what was shown above it stays.
    pub(super) fn end(&mut self) {
        self.finish_stage();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Stage {
    fn line(&self, took: Duration) -> String {
        let took = milliseconds(took.as_secs_f64() * 1e3);
        format!("  {:<STAGE_CHARS$}  {took}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_time() {
        let event = |kind: &str, detail: &str| Event {
            service: "hello".into(),
            kind: kind.into(),
            detail: Some(detail.into()),
            ..Event::default()
        };
        let mut progress = Progress::new(false);
        assert!(!progress.is_shown() && progress.upload().is_hidden());
        let stage = progress.stage.as_ref().unwrap();
        let line = stage.line(Duration::from_millis(12));
        assert_eq!(line, "  uploading                 12ms");
        progress.event(&event("stage", "starting an instance"));
        progress.event(&event("promoted", "not a stage"));
        let stage = progress.stage.as_ref().unwrap();
        assert_eq!(stage.what, "hello starting an instance");
        progress.end();
        assert!(progress.stage.is_none());
    }
}
