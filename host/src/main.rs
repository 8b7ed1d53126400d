//! The `skep` command: arguments → configuration → run.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use skep::cli::Cli;
use skep::telemetry;

/// An instance is some hundred small allocations, made and freed on one thread.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A usage error ends the process here, with 2.
    Cli::parse().run().unwrap_or_else(|failure| {
        // With standard error gone there is nobody left to tell.
        writeln!(std::io::stderr(), "error: {}", telemetry::chain(&failure)).ok();
        failure.code()
    })
}
