//! `skep ls`: what a running host serves, and what it does not and why.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Deserialize;

use self::client::{ClientError, Target};
use self::table::Width;
use super::{Failure, output_failed};
use crate::telemetry::log;

mod client;
mod graph;
mod table;

/// Where a host's admin API is if nothing else is said.
const ADMIN_DEFAULT: &str = "http://127.0.0.1:8081";

/// Arguments of `skep ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print what the host answers, as JSON
    #[arg(long)]
    json: bool,
    /// List who may call whom, and who did
    #[arg(long)]
    graph: bool,
    /// The host's admin API
    #[arg(long, value_name = "URL", env = "SKEP_ADMIN", default_value = ADMIN_DEFAULT)]
    admin: String,
    /// The admin API's token; better given in the variable, which other users of the machine can't see
    #[arg(long, env = "SKEP_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Why the services can't be listed.
#[derive(Debug, thiserror::Error)]
pub enum LsError {
    /// The host can't be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nothing can be started here.
    #[error("can't start")]
    Runtime(#[source] io::Error),
}

/// What `GET /v1/services` answers, as far as it is shown. Hosts of other versions may say more or less.
#[derive(Debug, Deserialize)]
struct Services {
    services: Vec<Service>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    name: String,
    state: String,
    missing: Vec<String>,
    unbound: Vec<String>,
    deploying: bool,
    revision: Option<u64>,
    digest: Option<String>,
    kind: Option<String>,
    stepped_down: bool,
    breaker: Option<String>,
    in_flight: u64,
    queued: u64,
    requests: u64,
    faults: u64,
    p99_ms: Option<f64>,
    error: Option<String>,
    rollout: Option<Rollout>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rollout {
    revision: u64,
    weight: u8,
    phase: String,
}

/// Asks the host and prints its services.
///
/// # Errors
/// When no host answers, or not with a list of services.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let target = Target::new(&args.admin, args.token.as_deref()).map_err(LsError::from)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LsError::Runtime)?;
    let resource = if args.graph {
        "/v1/graph"
    } else {
        "/v1/services"
    };
    let answer = runtime
        .block_on(target.get(resource))
        .map_err(LsError::from)?;
    let mut output = io::stdout().lock();
    let colours = log::colours(&output);
    let table = if args.graph {
        graph::render(&target.decode(&answer).map_err(LsError::from)?, colours)
    } else {
        let services: Services = target.decode(&answer).map_err(LsError::from)?;
        table::render(&services.services, Width::of(&output), colours)
    };
    let printed = if args.json {
        output.write_all(&answer).and_then(|()| writeln!(output))
    } else {
        output.write_all(table.as_bytes())
    };
    printed.map(|()| ExitCode::SUCCESS).or_else(output_failed)
}
