//! The `skep` command: arguments → configuration → run.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use skep::cli::Cli;
use skep::telemetry;

fn main() -> ExitCode {
    // A usage error ends the process here, with 2.
    Cli::parse().run().unwrap_or_else(|failure| {
        // With standard error gone there is nobody left to tell.
        writeln!(std::io::stderr(), "error: {}", telemetry::chain(&failure)).ok();
        ExitCode::FAILURE
    })
}
