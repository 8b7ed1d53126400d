//! From what `skep.toml` and the flags say to settings with nothing left open.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_policy::limits::{MEMORY_MAX, MEMORY_MIN};
use skep_policy::quote::quoted;
use skep_policy::size::{GIB, KIB, MIB, TIB};
use skep_policy::{duration, size};

use super::{
    ADMIN_DEFAULT, Compile, HostConfig, LISTEN_DEFAULT, Log, Overrides, Pool, Source, Timeouts,
    access, proxied, tls,
};
use crate::config::document::{PATH_BYTES_MAX, Scope};
use crate::config::edge::{self, EdgeConfig};
use crate::config::error::ConfigError;
use crate::config::raw::{
    RawCalls, RawCompile, RawConnections, RawHost, RawLog, RawPool, RawTimeouts,
};
use crate::config::service::absolute;
use crate::config::units::{Size, Span};

const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
const CONNECTIONS_MAX: usize = 1_000_000;
/// The least that hyper reads a head into.
const HEADER_BYTES_MIN: u64 = 8 * KIB;
const HEADER_BYTES_MAX: u64 = MIB;
/// Least, default and most of `[calls] depth`.
const CALL_DEPTH: (u32, u32, u32) = (1, 16, 64);
/// Least, default (Argo Rollouts') and most of `revision_history_limit`.
const REVISION_HISTORY: (usize, usize, usize) = (0, 10, 1_000);
const HEADERS_MAX: usize = 10_000;
const POOL_INSTANCES_MAX: u32 = 100_000;
const COMPILE_MEMORY_MIN: u64 = 256 * MIB;
const COMPILE_MEMORY_MAX: u64 = TIB;
const COMPILE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const COMPILE_PARALLEL_MAX: usize = 256;

/// Where the settings were written, if they were.
pub(super) struct Origin<'a>(Option<&'a Scope<'a>>);

impl Origin<'_> {
    pub(super) fn error(&self, keys: &[&str], what: impl Display) -> ConfigError {
        match self.0 {
            Some(scope) => scope.error(keys, what),
            None => ConfigError::Flag(format!("{}: {what}", keys.join("."))),
        }
    }

    /// A path in the file, from the file's folder.
    pub(super) fn path(&self, keys: &[&str], text: &str) -> Result<PathBuf, ConfigError> {
        if text.is_empty() || text.len() > PATH_BYTES_MAX || text.contains('\0') {
            return Err(self.error(
                keys,
                "is no path: name a file or folder, or leave the key out",
            ));
        }
        let folder = self
            .0
            .map_or(Path::new(""), |scope| scope.document().folder());
        absolute(&folder.join(text))
    }

    fn within<T: PartialOrd + Copy>(
        &self,
        keys: &[&str],
        given: Option<T>,
        (min, default, max): (T, T, T),
        show: impl Fn(T) -> String,
    ) -> Result<T, ConfigError> {
        match given {
            None => Ok(default),
            Some(given) if (min..=max).contains(&given) => Ok(given),
            Some(given) => {
                let what = format!(
                    "must be between {} and {}, not {}",
                    show(min),
                    show(max),
                    show(given)
                );
                Err(self.error(keys, what))
            }
        }
    }

    fn count<T>(&self, keys: &[&str], given: Option<T>, bounds: (T, T, T)) -> Result<T, ConfigError>
    where
        T: PartialOrd + Copy + Display,
    {
        self.within(keys, given, bounds, |count| count.to_string())
    }

    fn size(
        &self,
        keys: &[&str],
        given: Option<Size>,
        bounds: (u64, u64, u64),
    ) -> Result<u64, ConfigError> {
        self.within(keys, given.map(|size| size.0), bounds, size::show)
    }

    fn span(
        &self,
        keys: &[&str],
        given: Option<Span>,
        (min, default, max): (Duration, u64, Duration),
    ) -> Result<Duration, ConfigError> {
        let bounds = (min, Duration::from_secs(default), max);
        self.within(keys, given.map(|span| span.0), bounds, duration::show)
    }
}

pub(super) fn resolve(
    raw: RawHost,
    scope: Option<&Scope<'_>>,
    source: Source,
    flags: Overrides,
) -> Result<HostConfig, ConfigError> {
    let origin = Origin(scope);
    let admin_token = access::admin_token(&raw, &origin)?;
    let listen = listen(&raw, &origin, flags.listen)?;
    let trust = access::trust(&raw, &origin)?;
    let tokens = access::tokens(&raw, admin_token.as_ref(), &origin)?;
    let admin = admin(&raw, &origin, flags.admin, &listen, !tokens.are_none())?;
    let tls_flags = tls::Flags {
        listen: flags.tls_listen,
        self_signed: flags.tls_self_signed,
    };
    let tls = tls::tls(raw.tls, &origin, tls_flags, &listen, admin)?;
    let state = match (flags.state, &raw.state) {
        (Some(state), _) => absolute(&state)?,
        (None, Some(state)) => origin.path(&["state"], state)?,
        (None, None) => beside(&source).join(".skep"),
    };
    let cache = match (flags.cache, &raw.cache) {
        (Some(cache), _) => absolute(&cache)?,
        (None, Some(cache)) => origin.path(&["cache"], cache)?,
        (None, None) => state.join("cache"),
    };
    let edge = match (raw.edge, scope) {
        (Some(edge), Some(scope)) => edge::resolve(edge, &scope.below(&["edge"]))?,
        _ => EdgeConfig::default(),
    };
    let trusted_proxies = proxied::trusted_proxies(raw.trusted_proxies, scope)?;
    let access_log = proxied::access_log(raw.access_log.as_ref(), &origin)?;
    let services = services(raw.services.as_deref(), &origin, &source)?;
    let keys = ["revision_history_limit"];
    let revision_history_limit =
        origin.count(&keys, raw.revision_history_limit, REVISION_HISTORY)?;
    let (connections_max, websockets_max, header_bytes_max, headers_max) =
        connections(&raw.connections.unwrap_or_default(), &origin)?;
    Ok(HostConfig {
        listen,
        tls,
        trusted_proxies,
        access_log,
        edge,
        admin,
        tokens,
        trust,
        state,
        cache,
        revision_history_limit,
        source,
        services,
        timeouts: timeouts(&raw.timeouts.unwrap_or_default(), &origin)?,
        connections_max,
        websockets_max,
        header_bytes_max,
        headers_max,
        call_depth_max: call_depth_max(&raw.calls.unwrap_or_default(), &origin)?,
        pool: pool(&raw.pool.unwrap_or_default(), &origin)?,
        compile: compile(&raw.compile.unwrap_or_default(), &origin)?,
        log: log(&raw.log.unwrap_or_default()),
    })
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{} is no address: write an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"", quoted(text))
    })
}

fn listen(
    raw: &RawHost,
    origin: &Origin<'_>,
    flags: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, ConfigError> {
    if !flags.is_empty() {
        return Ok(flags);
    }
    let Some(listen) = &raw.listen else {
        return Ok(vec![LISTEN_DEFAULT]);
    };
    if listen.0.is_empty() {
        return Err(origin.error(&["listen"], "is empty: name an address, or leave it out"));
    }
    listen
        .0
        .iter()
        .enumerate()
        .map(|(i, text)| {
            address(text).map_err(|what| origin.error(&["listen", &i.to_string()], what))
        })
        .collect()
}

fn admin(
    raw: &RawHost,
    origin: &Origin<'_>,
    flag: Option<SocketAddr>,
    listen: &[SocketAddr],
    has_token: bool,
) -> Result<SocketAddr, ConfigError> {
    let error = |what: String| match flag {
        Some(_) => ConfigError::Flag(format!("--admin {what}")),
        None => origin.error(&["admin"], what),
    };
    let admin = match (flag, &raw.admin) {
        (Some(admin), _) => admin,
        (None, Some(text)) => address(text).map_err(error)?,
        (None, None) => ADMIN_DEFAULT,
    };
    if admin.port() != 0 && listen.contains(&admin) {
        return Err(error(format!(
            "{admin} is where the gateway listens: give the admin API another address"
        )));
    }
    if !has_token && !admin.ip().is_loopback() {
        return Err(error(format!(
            "{admin} can be reached from other machines, so the admin API needs a token: \
             set admin_token or admin_token_file or add a [[token]] in skep.toml, or use 127.0.0.1"
        )));
    }
    Ok(admin)
}

/// The folder of drop-ins, if there is one.
fn services(
    named: Option<&str>,
    origin: &Origin<'_>,
    source: &Source,
) -> Result<Option<PathBuf>, ConfigError> {
    if let Source::Folder(folder) = source {
        return Ok(Some(folder.clone()));
    }
    let Some(named) = named else {
        return Ok(None);
    };
    let folder = origin.path(&["services"], named)?;
    if folder.is_dir() {
        return Ok(Some(folder));
    }
    let what = format!(
        "{} is no folder: create it, or correct the path",
        folder.display()
    );
    Err(origin.error(&["services"], what))
}

/// The folder that PATH lies in.
fn beside(source: &Source) -> &Path {
    let path = match source {
        Source::Folder(path) | Source::File(path) | Source::Manifest(path) => path,
        Source::Service(manifest) => manifest.parent().unwrap_or(manifest),
    };
    path.parent().unwrap_or(path)
}

fn call_depth_max(raw: &RawCalls, origin: &Origin<'_>) -> Result<u32, ConfigError> {
    origin.count(&["calls", "depth"], raw.depth, CALL_DEPTH)
}

fn timeouts(raw: &RawTimeouts, origin: &Origin<'_>) -> Result<Timeouts, ConfigError> {
    let span = |key, given, default| {
        origin.span(
            &["timeouts", key],
            given,
            (TIMEOUT_MIN, default, TIMEOUT_MAX),
        )
    };
    Ok(Timeouts {
        header: span("header", raw.header, 10)?,
        body_idle: span("body_idle", raw.body_idle, 30)?,
        idle: span("idle", raw.idle, 60)?,
        drain: span("drain", raw.drain, 30)?,
    })
}

/// Connections, how many of them may be WebSockets, bytes of a head, headers.
fn connections(
    raw: &RawConnections,
    origin: &Origin<'_>,
) -> Result<(usize, usize, usize, usize), ConfigError> {
    let max = origin.count(
        &["connections", "max"],
        raw.max,
        (1, 10_000, CONNECTIONS_MAX),
    )?;
    // Half of what there may be of all: they must leave room for requests.
    let websockets = origin.count(
        &["connections", "websockets"],
        raw.websockets,
        (1, 5_000, CONNECTIONS_MAX),
    )?;
    let bounds = (HEADER_BYTES_MIN, 64 * KIB, HEADER_BYTES_MAX);
    let header_bytes = origin.size(&["connections", "header_bytes"], raw.header_bytes, bounds)?;
    let headers = origin.count(
        &["connections", "headers_max"],
        raw.headers_max,
        (1, 128, HEADERS_MAX),
    )?;
    Ok((
        max,
        websockets,
        usize::try_from(header_bytes).unwrap_or(usize::MAX),
        headers,
    ))
}

fn pool(raw: &RawPool, origin: &Origin<'_>) -> Result<Pool, ConfigError> {
    let bounds = (1, 2048, POOL_INSTANCES_MAX);
    let memory = (MEMORY_MIN, MEMORY_MAX, MEMORY_MAX);
    Ok(Pool {
        instances: origin.count(&["pool", "instances"], raw.instances, bounds)?,
        memory_max: origin.size(&["pool", "memory_max"], raw.memory_max, memory)?,
    })
}

fn compile(raw: &RawCompile, origin: &Origin<'_>) -> Result<Compile, ConfigError> {
    let memory = (COMPILE_MEMORY_MIN, 4 * GIB, COMPILE_MEMORY_MAX);
    let timeout = (COMPILE_TIMEOUT_MIN, 120, TIMEOUT_MAX);
    let parallel = (1, parallel_default(), COMPILE_PARALLEL_MAX);
    Ok(Compile {
        memory: origin.size(&["compile", "memory"], raw.memory, memory)?,
        timeout: origin.span(&["compile", "timeout"], raw.timeout, timeout)?,
        parallel: origin.count(&["compile", "parallel"], raw.parallel, parallel)?,
    })
}

/// Half the cores, so that serving goes on; one of fewer than four.
fn parallel_default() -> usize {
    match std::thread::available_parallelism().map_or(1, NonZero::get) {
        0..4 => 1,
        cores => (cores / 2).min(COMPILE_PARALLEL_MAX),
    }
}

fn log(raw: &RawLog) -> Log {
    Log {
        requests: raw.requests.unwrap_or(true),
        json: raw.json.unwrap_or(false),
    }
}
