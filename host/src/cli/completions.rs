//! `skep completions`: what a shell reads to complete this command line.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

/// Arguments of `skep completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script for `whole`, without what is hidden.
///
/// # Errors
/// When standard output can't be written.
pub fn run(args: &Args, whole: &Command) -> io::Result<ExitCode> {
    // Printing ends the process where nobody reads: what is written by itself does not.
    let shown = whole.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut command = Command::new("skep")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(shown.cloned());
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "skep", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
