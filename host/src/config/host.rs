//! The host's own settings: defaults, then `skep.toml`, then flags.

mod access;
mod proxied;
mod settings;
mod tls;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_policy::access_log::Format;
use skep_policy::name::ServiceName;

use super::document::Document;
use super::edge::EdgeConfig;
use super::error::ConfigError;
use super::network::Network;
use super::raw::{RawHost, RawService};
use super::service::resolve::{Confined, resolve};
use super::service::{self, SERVICE_TOML, ServiceConfig, absolute};
use super::tls::Tls;
use super::token::Tokens;
use super::trust::Trust;

/// Where the gateway listens if nothing else is said.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Where the admin API listens if nothing else is said.
pub const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
/// The folder of drop-ins if nothing else is said.
pub const SERVICES_DEFAULT: &str = "services";

/// Most services that a `skep.toml` lists itself.
pub const LISTED_MAX: usize = 4096;

/// The host's settings, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Where the gateway listens; never none.
    pub listen: Vec<SocketAddr>,
    /// Where and how it speaks TLS, if it does.
    pub tls: Option<Tls>,
    /// Whom it is believed from whom they have a request.
    pub trusted_proxies: Vec<Network>,
    /// Where a line for each request goes, if it is wanted.
    pub access_log: Option<AccessLog>,
    /// What the gateway does with all requests.
    pub edge: EdgeConfig,
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// What clients of the admin API must present one of; never none if `admin` isn't loopback.
    pub tokens: Tokens,
    /// Whose components are taken.
    pub trust: Trust,
    /// The folder of what must survive a restart; absolute.
    pub state: PathBuf,
    /// The folder of compiled components; absolute.
    pub cache: PathBuf,
    /// Revisions of a service that are kept beside those that answer.
    pub revision_history_limit: usize,
    /// Where the services come from.
    pub source: Source,
    /// The folder of drop-ins to watch, if there is one; absolute.
    pub services: Option<PathBuf>,
    /// How long clients may take.
    pub timeouts: Timeouts,
    /// Most connections open at a time.
    pub connections_max: usize,
    /// How many of them may be WebSockets at once.
    pub websockets_max: usize,
    /// Largest head of a request, in bytes.
    pub header_bytes_max: usize,
    /// Most headers of a request.
    pub headers_max: usize,
    /// Most calls from service to service that may come of each other.
    pub call_depth_max: u32,
    /// The instance pool.
    pub pool: Pool,
    /// Bounds of compiling.
    pub compile: Compile,
    /// What is logged, and how.
    pub log: Log,
}

/// Where services come from. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder of drop-ins.
    Folder(PathBuf),
    /// The `service.toml` of one service, in its own folder.
    Service(PathBuf),
    /// One `.wasm`, served at `/`.
    File(PathBuf),
    /// A `skep.toml` that lists services, names a folder of drop-ins, or both.
    Manifest(PathBuf),
}

/// How long clients may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request's head to its last.
    pub header: Duration,
    /// Without any progress on a body, in either direction.
    pub body_idle: Duration,
    /// Between requests on a kept-alive connection.
    pub idle: Duration,
    /// For requests in flight when a revision is replaced or the host stops.
    pub drain: Duration,
}

/// The instance pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Instances of all services together.
    pub instances: u32,
    /// Largest memory limit that a service may have, in bytes.
    pub memory_max: u64,
}

/// Bounds of compiling, which happens in a process of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compile {
    /// Address space of that process, in bytes.
    pub memory: u64,
    /// Wall-clock time of one component.
    pub timeout: Duration,
    /// Components at a time.
    pub parallel: usize,
}

/// A line for each request from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where they go; absolute.
    pub file: PathBuf,
    /// How they look.
    pub format: Format,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// One event for each request.
    pub requests: bool,
    /// JSON lines instead of text.
    pub json: bool,
}

/// What flags say; they win over `skep.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--config`: a `skep.toml` with settings for a PATH that is none itself.
    pub config: Option<PathBuf>,
    /// `--listen`; empty if not given.
    pub listen: Vec<SocketAddr>,
    /// `--tls-listen`; empty if not given.
    pub tls_listen: Vec<SocketAddr>,
    /// `--tls-self-signed`.
    pub tls_self_signed: bool,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--state`.
    pub state: Option<PathBuf>,
    /// `--cache`.
    pub cache: Option<PathBuf>,
}

/// A service listed in `skep.toml`, or its name (as far as it is known) and what is wrong with it.
pub type Listed = Result<ServiceConfig, (String, ConfigError)>;

/// Loads the settings for `path` (the command line's PATH; `./services` if `None`) and the services that its
/// `skep.toml`, if it is one, lists itself. A bad entry in that list spoils no other.
///
/// # Errors
/// If PATH is nothing that can be served, or a setting is bad.
pub fn load(
    path: Option<&Path>,
    overrides: Overrides,
) -> Result<(HostConfig, Vec<Listed>), ConfigError> {
    let (source, settings) = find(path, overrides.config.as_deref())?;
    let Some(settings) = settings else {
        let config = settings::resolve(RawHost::default(), None, source, overrides)?;
        return Ok((config, Vec::new()));
    };
    let document = Document::read(&settings)?;
    let raw: RawHost = document.decode()?;
    let lists = raw.services.is_some() || raw.service.as_ref().is_some_and(|list| !list.is_empty());
    if !matches!(source, Source::Manifest(_)) && lists {
        let key = if raw.services.is_some() {
            "services"
        } else {
            "service"
        };
        let what = "names services, and so does PATH: leave out one of them";
        return Err(document.root().error(&[key], what));
    }
    let config = settings::resolve(raw, Some(&document.root()), source, overrides)?;
    let services = list(&document, &config.pool)?;
    Ok((config, services))
}

/// Reads the services that a `skep.toml` lists itself once more, as `load` did.
///
/// # Errors
/// If the file can't be read or isn't TOML.
pub fn listed(skep_toml: &Path, pool: &Pool) -> Result<Vec<Listed>, ConfigError> {
    let document = Document::read(&absolute(skep_toml)?)?;
    list(&document, pool)
}

fn list(document: &Document, pool: &Pool) -> Result<Vec<Listed>, ConfigError> {
    let raws = document.decode_each::<RawService>("service")?;
    if raws.len() > LISTED_MAX {
        let what = format!("lists more than {LISTED_MAX} services: put them into a folder");
        return Err(document.root().error(&["service"], what));
    }
    let mut seen = BTreeSet::new();
    let services = raws.into_iter().enumerate().map(|(i, raw)| {
        let index = i.to_string();
        let scope = document.root().below(&["service", &index]);
        // Until a service is resolved it is known by its name only if that is one.
        let mut shown = format!("service[{index}]");
        let service = raw.and_then(|raw| {
            let name = raw.name.clone().or_else(|| stem(raw.component.as_deref()?));
            if let Some(name) = name
                .as_deref()
                .filter(|name| ServiceName::try_from(*name).is_ok())
            {
                shown = name.to_owned();
            }
            let service = resolve(raw, &scope, name, Confined::Nowhere, &|name| {
                std::env::var_os(name)
            })?;
            if !seen.insert(service.name.clone()) {
                let what =
                    format!("a service {shown} is listed already: give this one another name");
                return Err(scope.error(&["name"], what));
            }
            service::fits(&service, pool).map(|()| service)
        });
        service.map_err(|error| (shown, error))
    });
    Ok(services.collect())
}

fn stem(component: &str) -> Option<String> {
    Some(
        Path::new(component)
            .file_stem()?
            .to_string_lossy()
            .into_owned(),
    )
}

/// What PATH is, and which file has the settings.
fn find(
    path: Option<&Path>,
    config: Option<&Path>,
) -> Result<(Source, Option<PathBuf>), ConfigError> {
    let config = config.map(absolute).transpose()?;
    let path = match (path, &config) {
        (None, Some(config)) => config.clone(),
        (path, _) => absolute(path.unwrap_or(Path::new(SERVICES_DEFAULT)))?,
    };
    let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
    let own_manifest = path.join(SERVICE_TOML);
    let given_twice = config.as_ref().is_some_and(|config| *config != path);
    if own_manifest.is_file() {
        Ok((Source::Service(own_manifest), config))
    } else if path.is_dir() {
        Ok((Source::Folder(path), config))
    } else if !path.exists() {
        Err(ConfigError::Missing {
            path,
            fix: "create the folder and drop .wasm files into it, or name a folder, a skep.toml or a .wasm file"
                .to_owned(),
        })
    } else if service::is_service_toml(&path) {
        Ok((Source::Service(path), config))
    } else if is("wasm") {
        Ok((Source::File(path), config))
    } else if is("toml") && given_twice {
        Err(ConfigError::Flag(
            "PATH and --config are both configuration files: give only one of them".to_owned(),
        ))
    } else if is("toml") {
        Ok((Source::Manifest(path.clone()), Some(path)))
    } else {
        Err(ConfigError::Flag(format!(
            "{}: is neither a folder of services, nor a skep.toml, nor a .wasm file: name one of these",
            path.display()
        )))
    }
}
