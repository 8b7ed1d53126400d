//! What operators see: counters, metrics and the log.

pub mod access_log;
pub mod connections;
pub(crate) mod edges;
pub mod handshakes;
pub mod log;
pub mod metrics;
mod process;
pub mod sockets;
pub(crate) mod tally;
pub mod traffic;

/// An error and all that caused it, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
