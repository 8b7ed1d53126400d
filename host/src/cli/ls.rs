//! `skep ls`: what a running host serves, and what it does not and why.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Deserialize;

use super::remote::Remote;
use super::table::Width;
use super::{Failure, output_failed};
use crate::telemetry::log;

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
    let resource = if args.graph {
        "/v1/graph"
    } else {
        "/v1/services"
    };
    let mut output = io::stdout().lock();
    let colours = log::colours(&output);
    let (answer, table) = args.remote.run(async |target| {
        let answer = target.get(resource).await?;
        let table = if args.graph {
            graph::render(&target.decode(&answer)?, colours)
        } else {
            let services: Services = target.decode(&answer)?;
            table::render(&services.services, Width::of(&io::stdout()), colours)
        };
        Ok::<_, Failure>((answer, table))
    })?;
    let printed = if args.remote.json {
        output.write_all(&answer).and_then(|()| writeln!(output))
    } else {
        output.write_all(table.as_bytes())
    };
    printed.map(|()| ExitCode::SUCCESS).or_else(output_failed)
}
