//! The bench: Skep beside its peers, on the same components, in one run, interleaved.
//!
//! Figures of different runs can't be compared, ratios within one can: every round measures each contender once, and
//! the report has medians over the rounds and their spread.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::contender::Contender;
use self::report::{Figures, Report};
use crate::command::{self, cargo, root};
use crate::guests;

mod contender;
mod drop_in;
mod edge;
mod foreign;
mod hop;
mod load;
mod many;
pub(crate) mod native;
mod report;
mod server;
mod swaps;

/// Flags of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// Fewer and shorter rounds and fewer services: under 3 minutes once everything is built
    #[arg(long)]
    quick: bool,
    /// Only what has this in its name
    #[arg(long)]
    only: Option<String>,
}

/// How much is measured.
struct Scale {
    rounds: usize,
    seconds: u32,
    services: usize,
}

const FULL: Scale = Scale {
    rounds: 5,
    seconds: 4,
    services: 2000,
};
const QUICK: Scale = Scale {
    rounds: 2,
    seconds: 1,
    services: 100,
};

/// Connections of the load.
const CONNECTIONS: u32 = 32;

/// Builds what is missing, measures, prints the table and writes it to target/bench.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    load::check()?;
    let scale = if options.quick { QUICK } else { FULL };
    guests::build()?;
    let packages = ["skep", "bare", "xtask"].map(|package| ["--package", package]);
    command::run(cargo("", ["build", "--release", "--bins"]).args(packages.as_flattened()))?;
    let wasmtime = contender::wasmtime();
    let bare = root().join("target/release/bare");
    std::fs::create_dir_all(folder())?;

    let mut figures = Figures::default();
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only));
    let mut contenders = Contender::all(&wasmtime, &bare)?;
    if foreign::NAMES.into_iter().any(wanted) {
        contenders.extend(foreign::contenders(&wasmtime)?);
    }
    contenders.retain(|contender| wanted(contender.name));
    if contenders.iter().any(Contender::is_wasmtimes) {
        contender::install_wasmtime(&wasmtime)?;
    }
    throughput(&scale, &contenders, &mut figures)?;
    if wanted("drop-in") {
        drop_in::measure(&bare, scale.rounds, &mut figures)?;
    }
    if wanted("hop") {
        hop::measure(scale.seconds, scale.rounds, &mut figures)?;
    }
    if wanted("edge") {
        edge::measure(&scale, &mut figures)?;
    }
    if wanted("services") {
        many::measure(scale.services, scale.seconds, scale.rounds, &mut figures)?;
    }
    if wanted("swaps") {
        swaps::measure(scale.seconds, scale.rounds, &mut figures)?;
    }
    Report::of(&figures).publish()
}

fn throughput(
    scale: &Scale,
    contenders: &[Contender],
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let progress = progress(scale.rounds * contenders.len());
    for _ in 0..scale.rounds {
        for contender in contenders {
            progress.set_message(contender.name);
            let mut server = contender.start()?;
            server.wait_for(contender.path)?;
            let of =
                |connections, seconds| load::run(&server.url(contender.path), connections, seconds);
            of(CONNECTIONS, 1)?;
            let many = of(CONNECTIONS, scale.seconds)?;
            figures.add(contender.name, "req/s", many.rate);
            let one = of(1, scale.seconds.min(2))?;
            figures.add(contender.name, "p50 µs", one.p50_micros);
            if contender.streams {
                figures.add(
                    contender.name,
                    "MB/s",
                    load::stream(server.address, contender.path)?,
                );
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

fn progress(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Where everything that the bench makes lies.
fn folder() -> PathBuf {
    root().join("target/bench")
}

/// The built guest NAME.
fn guest(name: &str) -> anyhow::Result<PathBuf> {
    let path = root()
        .join("target/guests")
        .join(name)
        .with_extension("wasm");
    path.canonicalize()
        .with_context(|| format!("no guest at {}", path.display()))
}
