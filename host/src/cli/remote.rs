//! Which host a verb talks to, and how: the same flags for all of them.

use super::client::{ClientError, Target};

/// Where a host's admin API is if nothing else is said.
const ADMIN_DEFAULT: &str = "http://127.0.0.1:8081";

/// The flags of every verb that talks to a running host.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    /// The host's admin API
    #[arg(long, value_name = "URL", env = "SKEP_ADMIN", default_value = ADMIN_DEFAULT)]
    admin: String,
    /// The admin API's token; better given in the variable, which other users of the machine can't see
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ClientError::Runtime)?;
        runtime.block_on(work(&target))
    }
}
