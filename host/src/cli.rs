//! The command line: one file a verb.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub mod build;
pub mod check;
pub mod compile_child;
pub mod completions;
pub mod ls;
pub mod new;
pub mod pull;
pub mod push;
pub mod up;

mod registry;
mod style;

/// One process that hosts many microservices, each an isolated WebAssembly component
#[derive(Debug, Parser)]
#[command(name = "skep", version, arg_required_else_help = true)]
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
    /// `skep ls`
    #[error(transparent)]
    Ls(#[from] ls::LsError),
    /// `skep push`
    #[error(transparent)]
    Push(#[from] push::PushError),
    /// `skep pull`
    #[error(transparent)]
    Pull(#[from] pull::PullError),
    /// Standard output is gone or full.
    #[error("can't write to standard output")]
    Output(#[source] std::io::Error),
}

impl Cli {
    /// Does what was asked for, and says how the process ends: 0 if all is well, 1 if not.
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
            Verb::Push(args) => push::run(&args),
            Verb::Pull(args) => pull::run(&args),
            Verb::Completions(args) => {
                completions::run(&args, &<Self as CommandFactory>::command()).or_else(output_failed)
            }
            Verb::CompileChild(args) => Ok(compile_child::run(&args)),
        }
    }
}

/// Whoever reads the output may stop early, as `head` does: that is no failure.
fn output_failed(error: std::io::Error) -> Result<ExitCode, Failure> {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
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
