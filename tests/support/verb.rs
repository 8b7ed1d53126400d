//! `skep` run to its end, as one types it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::sources::cargo_environment;
use super::wait::within;

/// What a verb said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) error: String,
}

impl Said {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It failed as a verb does, not by a panic: one message, each of these in it.
    pub(crate) fn assert_refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(!self.error.contains("panicked"), "{self:?}");
        let all = format!("{}{}", self.output, self.error);
        for part in parts {
            assert!(all.contains(part), "no {part:?}: {self:?}");
        }
    }
}

/// `skep ARGUMENTS` in `directory`, which has Docker's configuration too, if it has one; to be run by [`run`].
pub(crate) fn command<A: AsRef<OsStr>>(
    directory: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command
        .args(arguments)
        .current_dir(directory)
        .envs(cargo_environment())
        .env_remove("SKEP_ADMIN")
        .env_remove("SKEP_LOG")
        .env("DOCKER_CONFIG", directory)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Said {
    let output = within("skep to end", command.output()).await.unwrap();
    Said {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `skep ARGUMENTS` in `directory`.
pub(crate) async fn skep_in<A: AsRef<OsStr>>(
    directory: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Said {
    run(command(directory, arguments)).await
}

/// `skep ARGUMENTS`.
pub(crate) async fn skep<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Said {
    skep_in(Path::new("/"), arguments).await
}
