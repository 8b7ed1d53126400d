//! All that proves the project, in the order in which a failure is soonest seen.
//!
//! Everything is compiled in the dev profile (guests and what counts instructions aside): a second profile would compile
//! Wasmtime again.

use std::process::Command;
use std::time::Instant;

use anyhow::{bail, ensure};

use crate::command::{self, cargo, root};
use crate::demo;
use crate::guests::{self, stems};
use crate::instructions;
use crate::setup::{self, COMPONENT_TARGET, PROGRAM_TARGET};

/// Where each guest of guests/faults has the test that proves it harmless.
const FAULT_TESTS: &str = "tests/isolation";

type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: [Step; 11] = [
    ("format", format),
    ("every fault guest has a test", faults_are_tested),
    ("set-up", setup::run),
    ("guests", || guests::build().map(drop)),
    ("clippy", clippy),
    ("clippy on guests", clippy_guests),
    ("unit and policy tests", unit),
    ("instructions", instructions::check),
    ("end-to-end tests", end_to_end),
    ("demo", demo::once_in_dev),
    ("documentation", documentation),
];

/// Runs all steps; the first that fails ends it with the command that failed.
pub(crate) fn run() -> anyhow::Result<()> {
    let started = Instant::now();
    for (name, step) in STEPS {
        println!("==> {name}");
        let began = Instant::now();
        step()?;
        println!("==> {name}: {:.1} s\n", began.elapsed().as_secs_f64());
    }
    println!("==> all passed: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn format() -> anyhow::Result<()> {
    command::run(&mut cargo("", ["fmt", "--all", "--check"]))?;
    command::run(&mut cargo("guests", ["fmt", "--all", "--check"]))
}

fn faults_are_tested() -> anyhow::Result<()> {
    let faults = stems(&root().join("guests/faults"), "rs")?;
    let tests = stems(&root().join(FAULT_TESTS), "rs")?;
    ensure!(!faults.is_empty(), "guests/faults is empty");
    let untested: Vec<_> = faults
        .difference(&tests)
        .map(|name| format!("guests/faults/{name}.rs needs {FAULT_TESTS}/{name}.rs"))
        .collect();
    if untested.is_empty() {
        return Ok(());
    }
    bail!(
        "fault guests without an end-to-end test:\n{}",
        untested.join("\n")
    )
}

fn clippy() -> anyhow::Result<()> {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    command::run(&mut cargo("", args))
}

fn clippy_guests() -> anyhow::Result<()> {
    for target in [COMPONENT_TARGET, PROGRAM_TARGET] {
        let mut clippy = guests::cargo_for("clippy", target)?;
        command::run(clippy.args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn unit() -> anyhow::Result<()> {
    command::run(&mut cargo("", ["test", "--workspace", "--lib", "--bins"]))
}

fn end_to_end() -> anyhow::Result<()> {
    command::run(&mut cargo("", ["test", "--workspace", "--test", "e2e"]))
}

fn documentation() -> anyhow::Result<()> {
    command::run(&mut cargo("", ["test", "--workspace", "--doc"]))?;
    let mut doc: Command = cargo("", ["doc", "--workspace", "--no-deps"]);
    command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}
