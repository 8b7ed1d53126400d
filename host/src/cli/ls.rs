//! `skep ls`: what a running host serves, and what it does not and why.

use std::io;
use std::process::ExitCode;

use serde::Deserialize;

use super::Failure;
use super::client::Ask;
use super::remote::Remote;
use super::table::Width;

mod graph;
mod table;

/// Arguments of `skep ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// List who may call whom, and who did
    #[arg(long)]
    graph: bool,
    #[command(flatten)]
    remote: Remote,
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
    if args.graph {
        args.remote.show(Ask::get("/v1/graph"), graph::render)?;
    } else {
        let render = |services: &Services, colours| {
            table::render(&services.services, Width::of(&io::stdout()), colours)
        };
        args.remote.show(Ask::get("/v1/services"), render)?;
    }
    Ok(ExitCode::SUCCESS)
}
