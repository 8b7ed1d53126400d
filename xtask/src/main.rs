//! `cargo xtask`: what a checkout needs beyond `cargo build`.
//!
//! Everything here calls the tools a developer would call by hand and prints what it calls when that fails.

#![allow(clippy::print_stdout, reason = "a chore talks to the terminal")]
#![allow(clippy::print_stderr, reason = "a chore talks to the terminal")]

mod bench;
mod command;
mod demo;
mod guests;
mod instructions;
mod setup;
mod test;

use std::process::ExitCode;

use clap::Parser;

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Make sure that the Rust toolchain can compile guests, and that there is a registry for the tests
    Setup,
    /// Build every guest to target/guests
    Guests,
    /// Build everything and run the host on an example
    Demo(demo::Options),
    /// Run all that proves the project: format, lints, unit, end-to-end, demo, documentation
    Test,
    /// Measure the host beside native hyper and `wasmtime serve`; print a table and write it to target/bench
    Bench(bench::Options),
    /// Serve with hyper alone: what `bench` compares with
    #[command(hide = true)]
    Native(bench::native::Options),
}

fn main() -> ExitCode {
    let result = match Chore::parse() {
        Chore::Setup => setup::run(),
        Chore::Guests => guests::run(),
        Chore::Demo(options) => demo::run(&options),
        Chore::Test => test::run(),
        Chore::Bench(options) => bench::run(&options),
        Chore::Native(options) => bench::native::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
