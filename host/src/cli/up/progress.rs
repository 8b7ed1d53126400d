//! How far the first scan has come, for a person at a terminal. Without a terminal nothing is shown.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::style::harmless;
use crate::deploy::board::{Report, State};
use crate::host::Core;

const TICK: Duration = Duration::from_millis(100);
/// Names that are shown of those that are being compiled.
const NAMES_MAX: usize = 3;

/// Shows the progress on `bar` until the first scan is done with or the host stops. It has a thread of its own: a
/// terminal may stop taking output at any time.
pub(super) fn show(core: &Arc<Core>, bar: ProgressBar) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let core = core.clone();
    let shown = thread::Builder::new()
        .name("skep-progress".into())
        .spawn(move || {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.set_style(style());
            while !*core.first_scan.borrow() && !core.draining.is_cancelled() {
                let (done, all, names) = standing(&core.board.reports());
                bar.set_length(all);
                bar.set_position(done);
                bar.set_message(names);
                bar.tick();
                thread::park_timeout(TICK);
            }
            bar.finish_and_clear();
            // From now on the log has the terminal to itself.
            bar.set_draw_target(ProgressDrawTarget::hidden());
        });
    if let Err(error) = shown {
        tracing::debug!(%error, "no progress is shown");
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {pos} of {len} services ready{msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// How many services are ready, how many there are, and how the others stand.
fn standing(reports: &BTreeMap<String, Report>) -> (u64, u64, String) {
    let in_state = |state| {
        reports
            .iter()
            .filter(move |(_, report)| report.state == state)
    };
    let mut others = String::new();
    let failed = in_state(State::Failed).count();
    if failed > 0 {
        others.push_str(&format!(", {failed} failed"));
    }
    let names: Vec<String> = in_state(State::Compiling)
        .map(|(name, _)| harmless(name))
        .collect();
    if let Some(shown) = names
        .get(..names.len().min(NAMES_MAX))
        .filter(|shown| !shown.is_empty())
    {
        let more = if names.len() > NAMES_MAX { ", …" } else { "" };
        others.push_str(&format!("; compiling {}{more}", shown.join(", ")));
    }
    (
        in_state(State::Ready).count() as u64,
        reports.len() as u64,
        others,
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_is_ready_failed_and_underway_is_told_apart() {
        let report = |state| Report {
            state,
            error: None,
            changed: SystemTime::UNIX_EPOCH,
            deploying: false,
            took: None,
            cached: None,
        };
        let mut reports: BTreeMap<String, Report> = ["a", "b", "c", "d\n"]
            .map(|name| (name.to_owned(), report(State::Compiling)))
            .into();
        assert_eq!(
            standing(&reports),
            (0, 4, "; compiling a, b, c, …".to_owned())
        );
        reports.insert("a".into(), report(State::Ready));
        reports.insert("b".into(), report(State::Failed));
        assert_eq!(
            standing(&reports),
            (1, 4, ", 1 failed; compiling c, d ".to_owned())
        );
    }
}
