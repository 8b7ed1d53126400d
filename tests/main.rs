//! End to end: the real `skep`, driven over real sockets, one behaviour a file.
//!
//! Tests wait for events, never for time. Guests come from `cargo xtask guests`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says so on its output"
)]

mod cli;
mod completeness;
mod deploy;
mod isolation;
mod request;
mod support;
