//! Which host a verb talks to, and how: the same flags for all of them.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::de::DeserializeOwned;

use super::client::{Ask, ClientError, Target};
use super::{Failure, block_on, output_failed};
use crate::telemetry::log;

/// Where a host's admin API is if nothing else is said.
const ADMIN_DEFAULT: &str = "http://127.0.0.1:8081";

/// The flags of every verb that talks to a running host.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    /// The host's admin API
    #[arg(long, value_name = "URL", env = "SKEP_ADMIN", default_value = ADMIN_DEFAULT)]
    admin: String,
    /// A token of the admin API; better given in the variable, which other users of the machine can't see
    #[arg(long, env = "SKEP_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Remote {
    /// Runs `work` with the host to its end.
    ///
    /// # Errors
    /// What it fails with, or why it can't begin.
    pub(super) fn run<T, E: From<ClientError>>(
        &self,
        work: impl AsyncFnOnce(&Target) -> Result<T, E>,
    ) -> Result<T, E> {
        let target = Target::new(&self.admin, self.token.as_deref())?;
        block_on(work(&target)).map_err(ClientError::Runtime)?
    }

    /// Asks the host, and prints its answer: as it is, or what `render` makes of it for people.
    ///
    /// # Errors
    /// When the host can't be asked, or says no or something else.
    pub(super) fn show<T: DeserializeOwned>(
        &self,
        ask: Ask,
        render: impl FnOnce(&T, bool) -> String,
    ) -> Result<T, Failure> {
        let (answer, read) = self.run(async |target| {
            let answer = target.send(ask).await?;
            let read: T = target.decode(&answer)?;
            Ok::<_, Failure>((answer, read))
        })?;
        let mut output = io::stdout().lock();
        let printed = if self.json {
            output.write_all(&answer).and_then(|()| writeln!(output))
        } else {
            let colours = log::colours(&output);
            output.write_all(render(&read, colours).as_bytes())
        };
        printed.map(|()| ExitCode::SUCCESS).or_else(output_failed)?;
        Ok(read)
    }
}
