//! A service as its manifest, its file's name, or an entry in `skep.toml` describes it.

pub mod record;
pub(in crate::config) mod resolve;
pub mod rollout;
mod sent;
pub mod target;
pub mod tolerance;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use skep_policy::limits::Limits;
use skep_policy::name::ServiceName;
use skep_policy::routes::RouteSpec;
use skep_policy::size;

pub use self::sent::sent;

use self::record::Record;
use self::resolve::{Confined, resolve};
use self::rollout::Rollout;
use self::target::Target;
use self::tolerance::{CallRules, FallbackAnswer, Tolerance};
use super::allowed::AllowedHost;
use super::document::Document;
use super::edge::RouteEdge;
use super::error::ConfigError;
use super::host::Pool;
use super::raw::RawService;

/// The manifest in a service's own folder.
pub const SERVICE_TOML: &str = "service.toml";

/// A service, resolved. Its serialised form identifies the configuration; it holds the values of `[env]`, so
/// it is for hashing, never for showing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceConfig {
    /// The name.
    pub name: ServiceName,
    /// What answers.
    #[serde(rename = "component")]
    pub target: Target,
    /// The routes; none if only other services may call it.
    pub routes: Vec<RouteSpec>,
    /// What the gateway does with the requests of each route, in their order. None if that is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<RouteEdge>,
    /// The limits, within their bounds.
    pub limits: Limits,
    /// How instances are used.
    pub instances: Instances,
    /// The whole environment of the guest: what was inherited by name, then what was set.
    pub env: BTreeMap<String, String>,
    /// What the service may reach.
    pub allow: Allow,
    /// What is done about faults.
    pub tolerance: Tolerance,
    /// What is done about the calls to services that it may call.
    pub callees: BTreeMap<ServiceName, CallRules>,
    /// How a new revision takes the old one's place.
    #[serde(default)]
    pub rollout: Rollout,
    /// Which requests are kept for candidates to answer.
    #[serde(default)]
    pub record: Record,
}

impl ServiceConfig {
    /// Whether it has instances, which take their part of the pool.
    pub fn has_instances(&self) -> bool {
        self.target.component().is_some()
    }

    /// Whether any of its routes has WebSockets.
    pub fn has_websockets(&self) -> bool {
        self.edges.iter().any(|edge| edge.websocket.is_some())
    }

    /// The services that this one can't do all of its work without.
    pub fn depends_on(&self) -> BTreeSet<&ServiceName> {
        let of_calls = self.callees.values().map(|rules| &rules.tolerance);
        let fallbacks = of_calls
            .chain([&self.tolerance])
            .filter_map(|tolerance| match &tolerance.fallback.as_ref()?.answer {
                FallbackAnswer::Service(name) => Some(name),
                FallbackAnswer::Static(_) => None,
            });
        self.allow.services.iter().chain(fallbacks).collect()
    }
}

/// How instances are used; `None` leaves it to the kind of component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instances {
    /// Requests that an instance serves in its life.
    pub reuse: Option<u32>,
    /// Requests that an instance serves at once.
    pub concurrency: Option<u32>,
    /// For how long, the first time, each request has a fresh instance after one that is used again has failed. Zero:
    /// not at all.
    pub step_down: Duration,
}

impl Default for Instances {
    fn default() -> Self {
        Self {
            reuse: None,
            concurrency: None,
            step_down: STEP_DOWN_DEFAULT,
        }
    }
}

/// For how long instances are fresh after one that is used again has failed; the first time.
const STEP_DOWN_DEFAULT: Duration = Duration::from_secs(30);

/// What a service may reach: nothing unless named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allow {
    /// Services of this host.
    pub services: BTreeSet<ServiceName>,
    /// Hosts elsewhere.
    pub hosts: Vec<AllowedHost>,
}

/// Reads a drop-in's manifest.
///
/// The name is the manifest's, else `default_name`, else the file's stem (for a `service.toml` its folder's
/// name). The component is the manifest's, unless it names an upstream or files, else the `.wasm` with the manifest's
/// stem; it must lie in the manifest's folder or below. Without routes the service is served at `/NAME` and below; with an empty list of them only
/// other services can call it.
///
/// # Errors
/// If the manifest can't be read, has an unknown key or a bad value, or its component isn't there.
pub fn from_manifest(
    path: &Path,
    default_name: Option<&str>,
) -> Result<ServiceConfig, ConfigError> {
    let document = Document::read(&absolute(path)?)?;
    let raw: RawService = document.decode()?;
    let default_name = default_name
        .map(str::to_owned)
        .or_else(|| file_name(document.path()));
    resolve(
        raw,
        &document.root(),
        default_name,
        Confined::ToFolder,
        &|name| std::env::var_os(name),
    )
}

/// The service that a `.wasm` without a manifest is: named by its stem, served at `/NAME` and below.
///
/// # Errors
/// If the file's stem is no service name.
pub fn without_manifest(wasm: &Path) -> Result<ServiceConfig, ConfigError> {
    let component = absolute(wasm)?;
    let stem = component.file_stem().unwrap_or_default().to_string_lossy();
    let name = ServiceName::try_from(&*stem).map_err(|error| {
        ConfigError::Flag(format!(
            "{}: {error}; rename the file, or give it a manifest {} with `name = {:?}`",
            component.display(),
            component
                .with_extension("toml")
                .file_name()
                .unwrap_or_default()
                .to_string_lossy(),
            error.suggestion(),
        ))
    })?;
    Ok(ServiceConfig {
        routes: RouteSpec::drop_in(&name),
        edges: Vec::new(),
        name,
        target: Target::Component(component),
        limits: Limits::default(),
        instances: Instances::default(),
        env: BTreeMap::new(),
        allow: Allow::default(),
        tolerance: Tolerance::default(),
        callees: BTreeMap::new(),
        rollout: Rollout::default(),
        record: Record::default(),
    })
}

/// The service that a single `.wasm` is: named by its stem, served at every path.
///
/// # Errors
/// If the file's stem is no service name.
pub fn single(wasm: &Path) -> Result<ServiceConfig, ConfigError> {
    Ok(ServiceConfig {
        routes: RouteSpec::all(),
        ..without_manifest(wasm)?
    })
}

/// Checks that the pool's instances are large enough for the service's.
///
/// # Errors
/// If they aren't, with both figures.
pub fn fits(service: &ServiceConfig, pool: &Pool) -> Result<(), ConfigError> {
    if service.limits.memory <= pool.memory_max {
        return Ok(());
    }
    Err(ConfigError::Pool {
        service: service.name.to_string(),
        memory: size::show(service.limits.memory),
        max: size::show(pool.memory_max),
    })
}

/// `path` from the root, with nothing resolved: a symbolic link flipped later must still be seen to flip.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn is_service_toml(manifest: &Path) -> bool {
    manifest
        .file_name()
        .is_some_and(|name| name == SERVICE_TOML)
}

pub(super) fn file_name(manifest: &Path) -> Option<String> {
    let name = if is_service_toml(manifest) {
        manifest.parent()?.file_name()?
    } else {
        manifest.file_stem()?
    };
    Some(name.to_string_lossy().into_owned())
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
