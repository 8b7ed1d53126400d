//! `skep up`: starts the host, says where it listens, and ends it in order.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::ProgressBar;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{self, Handle};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::rebuild::Rebuild;
use self::signals::Signals;
use crate::admin::Admin;
use crate::config::{self, ConfigError, HostConfig, Overrides};
use crate::deploy::Deployer;
use crate::deploy::arrive::{Intake, Pace, Watch};
use crate::deploy::board::State;
use crate::deploy::compile::{CacheDir, CacheError, Compiler, Launch};
use crate::deploy::order::Orders;
use crate::host::{Core, Gateway, busy_runtime};
use crate::state::{self, StateError};
use crate::telemetry;
use crate::telemetry::log::{self, LogError, LogGuard};

mod progress;
mod rebuild;
mod signals;

/// Threads that accept, deploy and answer operators; none of them runs guests.
const CONTROL_THREADS: usize = 2;

/// Arguments of `skep up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of drop-ins or of one service, a skep.toml, or one .wasm that is served at / [default: ./services]
    path: Option<PathBuf>,
    /// Where the gateway listens; repeatable; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Where the gateway listens for TLS; repeatable
    #[arg(long, value_name = "ADDR")]
    tls_listen: Vec<SocketAddr>,
    /// For development: a certificate for localhost, made at every start
    #[arg(long)]
    tls_self_signed: bool,
    /// Where the admin API listens [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// The folder of what must survive a restart [default: .skep beside PATH]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The folder of compiled components [default: cache in the state folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// A skep.toml with the host's settings, for a PATH that is none itself
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Build each service that has sources here again whenever they change
    #[arg(long)]
    watch: bool,
}

/// Why the host did not start.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log can't be set up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The folder of compiled components can't be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The state folder can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The operating system refuses threads or signals.
    #[error("the host's threads can't be started")]
    Threads(#[source] io::Error),
    /// A listener or the instance pool can't be had.
    #[error(transparent)]
    Start(Box<dyn std::error::Error + Send + Sync>),
}

/// Runs the host until a signal ends it.
///
/// # Errors
/// When it can't start.
pub fn run(args: Args) -> Result<ExitCode, UpError> {
    let overrides = Overrides {
        config: args.config,
        listen: args.listen,
        tls_listen: args.tls_listen,
        tls_self_signed: args.tls_self_signed,
        admin: args.admin,
        state: args.state,
        cache: args.cache,
    };
    // The services that a skep.toml lists are the watcher's to read.
    let (config, _) = config::host::load(args.path.as_deref(), overrides)?;
    let bar = ProgressBar::hidden();
    let log = log::start(&config.log, bar.clone())?;
    raise_descriptor_limit();
    let lanes = std::thread::available_parallelism().map_or(1, NonZero::get);
    let control = runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("skep-control")
        .enable_all()
        .build()
        .map_err(UpError::Threads)?;
    let busy = busy_runtime(lanes).map_err(UpError::Threads)?;
    let ended = control.block_on(host(
        config,
        lanes,
        busy.handle().clone(),
        &log,
        bar,
        args.watch,
    ));
    // What is left is cut: waiting for it here could take for ever.
    control.shutdown_background();
    busy.shutdown_background();
    ended
}

async fn host(
    config: HostConfig,
    lanes: usize,
    busy_lane: Handle,
    log: &LogGuard,
    bar: ProgressBar,
    rebuilds: bool,
) -> Result<ExitCode, UpError> {
    // Before anything says that the host is there: whoever reads that may send a signal.
    let mut signals = Signals::listen().map_err(UpError::Threads)?;
    let (first_scan, scanned) = watch::channel(false);
    let state = Arc::new(state::State::open(&config.state)?);
    let core =
        Core::new(config, Handle::current(), busy_lane, scanned, state).map_err(start_failed)?;
    let gateway = Arc::new(
        Gateway::open(core.clone(), lanes)
            .await
            .map_err(start_failed)?,
    );
    let (orders, orders_given) = Orders::channel();
    let admin = Admin::open(core.clone(), gateway.clone(), log.dropped(), orders)
        .await
        .map_err(start_failed)?;
    let deployer = Deployer::new(core.clone(), compiler(&core)?);
    announce(&gateway, admin.address);

    let intake = Intake::of(&core.config);
    // First: what is about to be built is not missing.
    let rebuild = rebuilds
        .then(|| Rebuild::start(intake.clone()))
        .transpose()
        .map_err(UpError::Threads)?;
    let known = known_by_files(&core.state).await?;
    let (watch, batches) =
        Watch::start(intake, Pace::default(), known).map_err(UpError::Threads)?;
    let deploying = deployer.run(batches, orders_given, first_scan);
    let deploying = AbortOnDropHandle::new(tokio::spawn(async {
        if let Err(error) = deploying.await {
            let error = telemetry::chain(&error);
            tracing::error!(
                error,
                "what ran before can't be read, and nothing is deployed"
            );
        }
    }));
    let settling = AbortOnDropHandle::new(tokio::spawn(report_first_scan(core.clone())));
    if !rebuilds {
        // Otherwise standard error is for what compilers say, too.
        progress::show(&core, bar);
    }

    let signal = signals
        .stop(|| {
            watch.rescan();
            gateway.look_at_certificates();
            if let Some(log) = &core.access_log {
                log.reopen();
            }
        })
        .await;
    tracing::info!(
        signal = signal.name,
        "draining; another signal ends the host at once"
    );
    drop((rebuild, watch, deploying, settling));
    let ended = tokio::select! {
        biased;
        second = signals.stop(|| {}) => {
            tracing::warn!(signal = second.name, connections = gateway.connections(), "ended at once");
            Ok(second.exit_code())
        }
        () = drain(&gateway, &admin, &core.state) => Ok(ExitCode::SUCCESS),
    };
    if let Some(log) = &core.access_log {
        log.close().await;
    }
    ended
}

/// The services that came from files when a host last ran here.
async fn known_by_files(state: &state::State) -> Result<Vec<String>, UpError> {
    let services = state.services().await?.into_iter();
    let of_files = services.filter(|service| service.files.is_some());
    Ok(of_files.map(|service| service.name.to_string()).collect())
}

fn compiler(core: &Core) -> Result<Compiler, UpError> {
    let cache = CacheDir::open(&core.config.cache)?.in_state(&core.state)?;
    let (settings, engines) = (core.config.compile.clone(), core.engines.clone());
    Compiler::new(cache, settings, engines, Launch::this_program()).map_err(UpError::Threads)
}

fn start_failed(error: anyhow::Error) -> UpError {
    UpError::Start(error.into())
}

/// The first lines of standard output; scripts and tests wait for them.
fn announce(gateway: &Gateway, admin: SocketAddr) {
    let plain = gateway.addresses.iter().map(|address| ("http", address));
    let secure = gateway.tls_addresses.iter();
    let secure = secure.map(|address| ("https", address));
    let listening: Vec<String> = plain
        .chain(secure)
        .map(|(scheme, address)| format!("{scheme}://{address}"))
        .collect();
    let mut lines: String = listening
        .iter()
        .map(|url| format!("listening {url}\n"))
        .collect();
    lines.push_str(&format!("admin http://{admin}\n"));
    let mut output = io::stdout().lock();
    if let Err(error) = output
        .write_all(lines.as_bytes())
        .and_then(|()| output.flush())
    {
        tracing::warn!(%error, "standard output does not take the addresses");
    }
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, listening = listening.join(","), admin = %admin, "the host listens");
}

/// Every connection takes a descriptor; the soft limit is there for programs that use `select`.
fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        Ok(()) => tracing::debug!(before = ?current, now = ?maximum, "limit of open files raised"),
        Err(error) => {
            tracing::warn!(%error, limit = ?current, "the limit of open files could not be raised")
        }
    }
}

async fn report_first_scan(core: Arc<Core>) {
    let mut scanned = core.first_scan.clone();
    if scanned.wait_for(|done| *done).await.is_ok() {
        let reports = core.board.reports();
        let ready = reports
            .values()
            .filter(|report| report.state == State::Ready)
            .count();
        let failed = reports.len() - ready;
        tracing::info!(ready, failed, "the first scan is done with");
    }
}

/// The admin API says that the host drains until there is nothing left to say.
async fn drain(gateway: &Gateway, admin: &Admin, state: &state::State) {
    if gateway.drain().await {
        tracing::info!("drained");
    } else {
        let connections = gateway.connections();
        tracing::warn!(
            connections,
            "connections were still open after [timeouts] drain and were cut"
        );
    }
    admin.close().await;
    if let Err(error) = state.settle().await {
        let error = telemetry::chain(&error);
        tracing::warn!(error, "the state folder's database could not be settled");
    }
}
