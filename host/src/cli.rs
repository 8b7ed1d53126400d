//! The command line: one file a verb.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use serde::Serialize;

pub mod build;
pub mod check;
pub mod client;
pub mod compile_child;
pub mod completions;
pub mod deploy;
pub mod diff;
pub mod events;
pub mod history;
pub mod ls;
pub mod new;
pub mod operate;
pub mod pull;
pub mod push;
pub mod top;
pub mod up;

mod api;
mod moment;
mod outcome;
mod registry;
mod remote;
mod small_file;
mod style;
mod table;
mod upload;

/// What did not work, or was refused.
const FAILED: u8 = 1;
/// A rollout that was waited for did not go well.
const ABORTED: u8 = 3;
/// There is no host, or none any more, that could be asked.
const OUT_OF_REACH: u8 = 4;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed or refused; of `skep diff`: there are differences
  2  not a command line
  3  the rollout that was waited for was aborted
  4  the host can't be reached";

/// One process that hosts many microservices, each an isolated WebAssembly component
#[derive(Debug, Parser)]
#[command(name = "skep", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the host
    Up(up::Args),
    /// Make a folder with the sources of a new service
    New(new::Args),
    /// Build a service from its sources
    Build(build::Args),
    /// Validate components and configuration without running them
    Check(check::Args),
    /// List the services of a running host
    #[command(visible_alias = "status")]
    Ls(ls::Args),
    /// Deploy a service, or several at once, to a running host
    Deploy(deploy::Args),
    /// Have an older revision of a service answer again
    Rollback(operate::RollbackArgs),
    /// Let a rollout go on to its next step, or to its end
    Promote(operate::PromoteArgs),
    /// Hold a rollout where it is
    Pause(operate::Args),
    /// Let a rollout that was held go on
    Resume(operate::Args),
    /// End a rollout: the running revision goes on
    Abort(operate::Args),
    /// Remove a service
    Rm(operate::RemoveArgs),
    /// Show what happened to a service, and its revisions
    History(history::Args),
    /// Show what happens on a host
    Events(events::Args),
    /// Follow what guests write to standard output and standard error
    Logs(events::LogsArgs),
    /// Show the traffic of services as it is now
    Top(top::Args),
    /// Show where a candidate answers recorded requests otherwise
    Diff(diff::Args),
    /// Store a component in an OCI registry
    Push(push::Args),
    /// Fetch a component from an OCI registry
    Pull(pull::Args),
    /// Print what completes this command line, for a shell to read
    Completions(completions::Args),
    /// Compile one artifact for the host that started this process
    #[command(name = compile_child::VERB, hide = true)]
    CompileChild(compile_child::Args),
}

/// Why a verb failed, for whoever typed it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// `skep up`
    #[error(transparent)]
    Up(#[from] up::UpError),
    /// `skep new`
    #[error(transparent)]
    New(#[from] new::NewError),
    /// `skep build`
    #[error(transparent)]
    Build(#[from] build::BuildError),
    /// The host can't be asked, or says no.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// `skep deploy`
    #[error(transparent)]
    Deploy(#[from] deploy::DeployError),
    /// `skep push`
    #[error(transparent)]
    Push(#[from] push::PushError),
    /// `skep pull`
    #[error(transparent)]
    Pull(#[from] pull::PullError),
    /// Standard output is gone or full.
    #[error("can't write to standard output")]
    Output(#[source] io::Error),
}

impl Failure {
    /// How the process ends.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        let client = match self {
            Self::Client(client) | Self::Deploy(deploy::DeployError::Client(client)) => client,
            _ => return ExitCode::from(FAILED),
        };
        ExitCode::from(if client.is_out_of_reach() {
            OUT_OF_REACH
        } else {
            FAILED
        })
    }
}

impl Cli {
    /// Does what was asked for, and says how the process ends.
    ///
    /// # Errors
    /// What kept it from being done.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::Up(args) => Ok(up::run(args)?),
            Verb::New(args) => new::run(&args),
            Verb::Build(args) => build::run(&args),
            Verb::Check(args) => check::run(&args).or_else(output_failed),
            Verb::Ls(args) => ls::run(&args),
            Verb::Deploy(args) => deploy::run(&args),
            Verb::Rollback(args) => operate::rollback(&args),
            Verb::Promote(args) => operate::promote(&args),
            Verb::Pause(args) => operate::tell(operate::Word::Pause, &args),
            Verb::Resume(args) => operate::tell(operate::Word::Resume, &args),
            Verb::Abort(args) => operate::tell(operate::Word::Abort, &args),
            Verb::Rm(args) => operate::remove(&args),
            Verb::History(args) => history::run(&args),
            Verb::Events(args) => events::run(&args),
            Verb::Logs(args) => events::logs(&args),
            Verb::Top(args) => top::run(&args),
            Verb::Diff(args) => diff::run(&args),
            Verb::Push(args) => push::run(&args),
            Verb::Pull(args) => pull::run(&args),
            Verb::Completions(args) => {
                completions::run(&args, &<Self as CommandFactory>::command()).or_else(output_failed)
            }
            Verb::CompileChild(args) => Ok(compile_child::run(&args)),
        }
    }
}

/// Runs `work` to its end on this thread.
fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(work))
}

fn print_json(mut output: impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut output, value)?;
    writeln!(output)
}

/// Whoever reads the output may stop early, as `head` does: that is no failure.
fn output_failed(error: io::Error) -> Result<ExitCode, Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        _ => Err(Failure::Output(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn verbs_take_their_flags() {
        for line in [
            "skep up",
            "skep up services --listen 127.0.0.1:0 --listen [::1]:0 --admin 127.0.0.1:0 --state s --cache c --config skep.toml",
            "skep ls --json --admin http://127.0.0.1:1 --token 0123456789abcdef",
            "skep status",
            "skep check a.wasm b --json",
            "skep push a.wasm registry.example/team/a:1 --json",
            "skep pull oci:registry.example/team/a@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad -o a.wasm --json",
            "skep new hello --lang rust",
            "skep build",
            "skep build services/hello --json",
            "skep up hello --watch",
            "skep completions zsh",
            "skep deploy hello hello.wasm --config hello.toml --force --wait --if-generation 3 --signature hello.sig --json",
            "skep deploy hello oci:registry.example/team/hello:1 --admin 127.0.0.1:1",
            "skep deploy -f bundle.toml --force --wait",
            "skep deploy --atomic services",
            "skep rollback hello --to 3",
            "skep promote hello --full",
            "skep pause hello",
            "skep resume hello",
            "skep abort hello",
            "skep rm hello --force",
            "skep history hello --limit 5",
            "skep events -f",
            "skep logs hello --follow --json",
            "skep top --interval 500ms --once",
            "skep diff hello",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn usage_errors_end_with_2() {
        for line in [
            "skep",
            "skep check",
            "skep up --listen nowhere",
            "skep up a b",
            "skep bogus",
            "skep new",
            "skep new hello --lang cobol",
            "skep build a b",
            "skep completions",
            "skep ls --nonsense",
            "skep push a.wasm",
            "skep push a.wasm team/a",
            "skep push a.wasm registry.example/a@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "skep pull a.wasm",
            "skep deploy",
            "skep deploy hello",
            "skep deploy Hello hello.wasm",
            "skep deploy hello oci:hello",
            "skep deploy hello hello.wasm -f bundle.toml",
            "skep deploy -f bundle.toml --atomic services",
            "skep deploy -f bundle.toml --if-generation 3",
            "skep rollback",
            "skep rollback hello --to first",
            "skep rm ..",
            "skep top --interval 1",
        ] {
            assert_eq!(
                Cli::try_parse_from(line.split(' '))
                    .unwrap_err()
                    .exit_code(),
                2,
                "{line}"
            );
        }
    }
}
