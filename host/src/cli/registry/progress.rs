//! How much of a component has been transferred, for a person at a terminal. Without a terminal nothing is shown.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error for `bytes` bytes; `doing` says what happens to them.
pub(super) fn bar(doing: &'static str, bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return hidden();
    }
    let style =
        ProgressStyle::with_template("{spinner} {msg} {binary_bytes} of {binary_total_bytes}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes)
        .with_style(style)
        .with_message(doing)
}

/// A bar that nobody sees.
pub(super) fn hidden() -> ProgressBar {
    ProgressBar::hidden()
}
