//! `skep compile-child`: the hidden verb that the host runs itself with, to compile one artifact.
//!
//! Runs before any runtime is started; standard output carries the report alone.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::deploy::compile::child::{self, Orders};

/// The verb as it is spelled on the command line.
pub const VERB: &str = "compile-child";

/// What the host tells its child; in this order and without names.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the image goes; must not exist
    pub output: PathBuf,
    /// Address space beyond the program's own, in bytes
    pub memory: u64,
    /// Processor time in seconds
    pub cpu_seconds: u64,
    /// The host's process id
    pub host: u32,
}

/// Compiles standard input; succeeds if the report could be written, whatever it says.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let orders = Orders {
        output: &args.output,
        memory: args.memory,
        cpu_seconds: args.cpu_seconds,
        host: args.host,
    };
    let report = child::run(&orders, io::stdin().lock());
    let said = serde_json::to_string(&report)
        .map_err(io::Error::from)
        .and_then(|line| writeln!(io::stdout(), "{line}"));
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
