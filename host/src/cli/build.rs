//! `skep build`: makes a service's component of its sources, puts it in its place and looks at it as a host would.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use skep_policy::size::{KIB, MIB};

use self::make::{Built, make};
use super::check::{self, Findings, Problem};
use super::{Failure, output_failed, print_json};
use crate::config::service::SERVICE_TOML;
use crate::config::{self, ConfigError};

mod error;
mod leash;
pub(super) mod make;
pub(super) mod sources;

pub use error::BuildError;
pub(super) use leash::Leash;

/// Arguments of `skep build`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of a service, with its service.toml, or a manifest
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is said of a component that was made.
#[derive(Debug, Serialize)]
struct Report {
    name: String,
    component: PathBuf,
    bytes: u64,
    /// How it would be served; none if it would be refused.
    kind: Option<String>,
    seconds: f64,
    problems: Vec<Problem>,
}

/// Builds, checks and prints what came of it: 1 if a host would refuse it.
///
/// # Errors
/// When there is nothing to build, or it could not be built.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let manifest = manifest(&args.path)?;
    let build = config::build::load(&manifest).map_err(BuildError::from)?;
    let build = build.ok_or_else(|| BuildError::NoHow {
        manifest: manifest.clone(),
    })?;
    let built = make(&build, None)?;
    let found = check::check(std::slice::from_ref(&manifest));
    let report = Report::new(build.name.as_str(), built, found);
    let output = io::stdout().lock();
    if args.json {
        print_json(output, &report)
    } else {
        print(output, &report)
    }
    .map(|()| match report.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
    .or_else(output_failed)
}

fn manifest(path: &Path) -> Result<PathBuf, BuildError> {
    let manifest = match path.is_dir() {
        true => path.join(SERVICE_TOML),
        false => path.to_owned(),
    };
    if manifest.is_file() {
        return Ok(manifest);
    }
    Err(ConfigError::Missing {
        path: manifest,
        fix: "name the folder of a service, or make one with `skep new NAME`".to_owned(),
    }
    .into())
}

impl Report {
    fn new(name: &str, built: Built, found: Findings) -> Self {
        Self {
            name: name.to_owned(),
            component: built.component,
            bytes: built.bytes,
            kind: found.services.into_iter().next().map(|good| good.kind),
            seconds: built.took.as_secs_f64(),
            problems: found.problems,
        }
    }
}

fn print(mut output: impl Write, report: &Report) -> io::Result<()> {
    let kind = report.kind.as_deref().unwrap_or("not a component to serve");
    let file = report.component.file_name().unwrap_or_default();
    writeln!(
        output,
        "{}  {kind}  {}  built in {:.1} s",
        file.to_string_lossy(),
        size(report.bytes),
        report.seconds
    )?;
    check::print_problems(output, &report.problems)
}

/// A size for people.
fn size(bytes: u64) -> String {
    if bytes < MIB {
        format!("{:.1} KiB", bytes as f64 / KIB as f64)
    } else {
        format!("{:.1} MiB", bytes as f64 / MIB as f64)
    }
}
