//! From what a manifest says to a service with nothing left open.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use skep_policy::limits::Limits;
use skep_policy::name::ServiceName;
use skep_policy::quote::quoted;
use skep_policy::routes::{HostPattern, Method, PathPattern, RouteSpec};

use super::target::Target;
use super::{
    Allow, Instances, ServiceConfig, absolute, is_service_toml, record, rollout, target, tolerance,
};
use crate::config::allowed::AllowedHost;
use crate::config::build;
use crate::config::document::{PATH_BYTES_MAX, Scope};
use crate::config::edge::{self, EdgeConfig, RouteEdge};
use crate::config::error::ConfigError;
use crate::config::raw::{RawAllow, RawInstances, RawLimits, RawRoute, RawService};

/// Most requests that one instance may be told to serve in its life.
const REUSE_MAX: u32 = 1_000_000;
/// Most requests that one instance may be told to serve at once.
const INSTANCE_CONCURRENCY_MAX: u32 = 1_024;

const STEP_DOWN_MAX: Duration = Duration::from_secs(3600);

/// Where a component may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Confined {
    /// In the manifest's folder or below: what is dropped in reaches nothing else, and is watched as a whole.
    ToFolder,
    /// Anywhere: the operator's own file says so.
    Nowhere,
}

pub(in crate::config) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

pub(in crate::config) fn resolve(
    raw: RawService,
    scope: &Scope<'_>,
    default_name: Option<String>,
    confined: Confined,
    lookup: Lookup<'_>,
) -> Result<ServiceConfig, ConfigError> {
    let name = name(raw.name.as_deref(), default_name.as_deref(), scope)?;
    let target = target::resolve(&raw, scope, confined);
    // Looked at for its mistakes only: how a service is built says nothing of what it is.
    build::check(raw.build, scope, confined)?;
    let policies = edge::resolve(raw.edge.unwrap_or_default(), &scope.below(&["edge"]))?;
    let (routes, edges) = routes(raw.route, &name, &policies, scope)?;
    if let Ok(target) = &target {
        files_have_no_websockets(target, &edges, scope)?;
    }
    let tolerance = tolerance::resolve(
        tolerance::Raw {
            retry: raw.retry,
            breaker: raw.breaker,
            rate_limit: raw.rate_limit,
            fallback: raw.fallback,
            health: raw.health,
        },
        &name,
        scope,
    )?;
    let allow = allow(raw.allow.unwrap_or_default(), &scope.below(&["allow"]))?;
    let callees = raw.callee.unwrap_or_default();
    let callees = tolerance::callees(callees, &allow, &name, &scope.below(&["callee"]))?;
    Ok(ServiceConfig {
        routes,
        edges,
        limits: limits(&raw.limits.unwrap_or_default(), &scope.below(&["limits"]))?,
        instances: instances(
            &raw.instances.unwrap_or_default(),
            &scope.below(&["instances"]),
        )?,
        env: env(
            &raw.env_inherit.unwrap_or_default(),
            raw.env.unwrap_or_default(),
            scope,
            lookup,
        )?,
        allow,
        callees,
        target: target?,
        rollout: rollout::resolve(raw.rollout.unwrap_or_default(), &scope.below(&["rollout"]))?,
        record: record::resolve(raw.record.unwrap_or_default(), &scope.below(&["record"]))?,
        tolerance,
        name,
    })
}

pub(in crate::config) fn name(
    given: Option<&str>,
    default: Option<&str>,
    scope: &Scope<'_>,
) -> Result<ServiceName, ConfigError> {
    match (given, default) {
        (Some(given), _) => {
            ServiceName::try_from(given).map_err(|error| scope.error(&["name"], error))
        }
        (None, Some(default)) => ServiceName::try_from(default).map_err(|error| {
            scope.error(
                &[],
                format!("{error}; add `name = {:?}`", error.suggestion()),
            )
        }),
        (None, None) => Err(scope.error(&[], "has no name: add `name = \"my-service\"`")),
    }
}

pub(super) fn component(
    given: Option<String>,
    scope: &Scope<'_>,
    confined: Confined,
) -> Result<PathBuf, ConfigError> {
    let (given, path) = component_path(given, scope, confined)?;
    if !path.is_file() {
        return Err(ConfigError::NoComponent {
            at: scope.place(&["component"]),
            component: given,
            path,
        });
    }
    Ok(path)
}

/// What the component is called and where it lies, if it is there.
pub(in crate::config) fn component_path(
    given: Option<String>,
    scope: &Scope<'_>,
    confined: Confined,
) -> Result<(String, PathBuf), ConfigError> {
    let document = scope.document();
    let manifest = document.path();
    let has_stem = confined == Confined::ToFolder && !is_service_toml(manifest);
    let given = match given {
        Some(given) => given,
        None if has_stem => manifest
            .with_extension("wasm")
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        None => {
            return Err(scope.error(
                &[],
                "names no component: add `component = \"my-service.wasm\"`",
            ));
        }
    };
    if given.is_empty() || given.len() > PATH_BYTES_MAX || given.contains('\0') {
        return Err(scope.error(&["component"], "is no path: name a .wasm file"));
    }
    let relative = Path::new(&given);
    let goes_up = relative
        .components()
        .any(|part| part == Component::ParentDir);
    let leaves = goes_up || relative.is_absolute();
    if confined == Confined::ToFolder && leaves {
        return Err(scope.error(
            &["component"],
            format!(
                "{} leaves the manifest's folder: put the component beside the manifest \
                 (a symbolic link will do), or list the service in skep.toml",
                quoted(&given)
            ),
        ));
    }
    let path = absolute(&document.folder().join(relative))?;
    Ok((given, path))
}

/// The routes, and what the gateway does with the requests of each: none if that is nothing for all of them.
fn routes(
    raw: Option<Vec<RawRoute>>,
    name: &ServiceName,
    policies: &EdgeConfig,
    scope: &Scope<'_>,
) -> Result<(Vec<RouteSpec>, Vec<RouteEdge>), ConfigError> {
    let (routes, mut edges): (Vec<_>, Vec<_>) = match raw {
        None => {
            let edge = RouteEdge::of_service(policies);
            let routes = RouteSpec::drop_in(name);
            routes.into_iter().map(|spec| (spec, edge.clone())).unzip()
        }
        Some(routes) => {
            let routes = routes.into_iter().enumerate();
            let read = |(at, raw): (usize, _)| {
                route(raw, policies, &scope.below(&["route", &at.to_string()]))
            };
            let read: Result<Vec<_>, _> = routes.map(read).collect();
            read?.into_iter().unzip()
        }
    };
    if edges.iter().all(RouteEdge::is_plain) {
        edges.clear();
    }
    Ok((routes, edges))
}

/// Components are told of WebSockets, and servers elsewhere speak them.
fn files_have_no_websockets(
    target: &Target,
    edges: &[RouteEdge],
    scope: &Scope<'_>,
) -> Result<(), ConfigError> {
    let at = edges.iter().position(|edge| edge.websocket.is_some());
    let (Target::Files(_), Some(at)) = (target, at) else {
        return Ok(());
    };
    let what = "is for components and upstreams, and this service is files: leave it out";
    Err(scope.error(&["route", &at.to_string(), "websocket"], what))
}

fn route(
    mut raw: RawRoute,
    policies: &EdgeConfig,
    scope: &Scope<'_>,
) -> Result<(RouteSpec, RouteEdge), ConfigError> {
    let Some(path) = raw.path.take() else {
        return Err(scope.error(
            &[],
            "has no path: add `path = \"/{*rest}\"` or a narrower one",
        ));
    };
    let host = raw
        .host
        .take()
        .map(|host| HostPattern::try_from(host.as_str()))
        .transpose()
        .map_err(|error| scope.error(&["host"], error))?;
    let method = |(i, method): (usize, String)| {
        Method::try_from(method.as_str())
            .map_err(|error| scope.error(&["methods", &i.to_string()], error))
    };
    let methods = raw
        .methods
        .take()
        .map(|methods| {
            methods
                .into_iter()
                .enumerate()
                .map(method)
                .collect::<Result<Vec<_>, _>>()
        })
        .transpose()?;
    if methods.as_ref().is_some_and(Vec::is_empty) {
        return Err(scope.error(
            &["methods"],
            "is empty: name a method, or leave it out for all",
        ));
    }
    let spec = RouteSpec {
        host,
        path: PathPattern::try_from(path.as_str())
            .map_err(|error| scope.error(&["path"], error))?,
        methods,
        strip_prefix: raw.strip_prefix.unwrap_or(false),
    };
    let edge = edge::resolve_route(raw, &spec, policies, scope)?;
    Ok((spec, edge))
}

fn limits(raw: &RawLimits, scope: &Scope<'_>) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let limits = Limits {
        memory: raw.memory.map_or(default.memory, |size| size.0),
        cpu: raw.cpu.map_or(default.cpu, |span| span.0),
        timeout: raw.timeout.map_or(default.timeout, |span| span.0),
        concurrency: raw.concurrency.unwrap_or(default.concurrency),
        queue: raw.queue.unwrap_or(default.queue),
        body: raw.body.map_or(default.body, |size| size.0),
        adaptive: raw.adaptive.unwrap_or(default.adaptive),
        priority: raw.priority.unwrap_or(default.priority),
    };
    limits
        .check()
        .map_err(|error| scope.error(&[error.key], error.reason()))?;
    Ok(limits)
}

fn instances(raw: &RawInstances, scope: &Scope<'_>) -> Result<Instances, ConfigError> {
    let bounds = [
        ("reuse", raw.reuse, REUSE_MAX),
        ("concurrency", raw.concurrency, INSTANCE_CONCURRENCY_MAX),
    ];
    for (key, given, max) in bounds {
        if given.is_some_and(|given| given < 1 || given > max) {
            return Err(scope.error(&[key], format!("must be between 1 and {max}")));
        }
    }
    if let (Some(reuse), Some(concurrency)) = (raw.reuse, raw.concurrency)
        && concurrency > reuse
    {
        let what = format!(
            "{concurrency} requests at once need an instance that serves as many in its life, but reuse is \
             {reuse}: raise reuse or lower concurrency"
        );
        return Err(scope.error(&["concurrency"], what));
    }
    let default = Instances::default();
    let step_down = raw.step_down.map_or(default.step_down, |span| span.0);
    if step_down > STEP_DOWN_MAX {
        return Err(scope.error(&["step_down"], "must be at most 1h"));
    }
    Ok(Instances {
        reuse: raw.reuse,
        concurrency: raw.concurrency,
        step_down,
    })
}

/// A variable that the host doesn't have is not an error: the guest doesn't have it then either.
fn env(
    inherit: &[String],
    set: BTreeMap<String, String>,
    scope: &Scope<'_>,
    lookup: Lookup<'_>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    const NAMES: &str = "is no name of a variable: it must not be empty or hold = or a zero byte";
    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    let mut env = BTreeMap::new();
    for (i, name) in inherit.iter().enumerate() {
        let error = |what| Err(scope.error(&["env_inherit", &i.to_string()], what));
        if !is_name(name) {
            return error(NAMES);
        }
        match lookup(name).map(OsString::into_string) {
            None => {}
            Some(Ok(value)) => {
                env.insert(name.clone(), value);
            }
            Some(Err(_)) => {
                return error("the variable's value here is not UTF-8: set it in [env] instead");
            }
        }
    }
    for (name, value) in set {
        if !is_name(&name) {
            return Err(scope.error(&["env", &name], NAMES));
        }
        if value.contains('\0') {
            return Err(scope.error(&["env", &name], "a variable's value can't hold a zero byte"));
        }
        env.insert(name, value);
    }
    Ok(env)
}

fn allow(raw: RawAllow, scope: &Scope<'_>) -> Result<Allow, ConfigError> {
    let mut allow = Allow::default();
    for (i, name) in raw.services.unwrap_or_default().iter().enumerate() {
        let name = ServiceName::try_from(name.as_str())
            .map_err(|error| scope.error(&["services", &i.to_string()], error))?;
        allow.services.insert(name);
    }
    for (i, host) in raw.hosts.unwrap_or_default().iter().enumerate() {
        let host = AllowedHost::try_from(host.as_str())
            .map_err(|error| scope.error(&["hosts", &i.to_string()], error))?;
        allow.hosts.push(host);
    }
    Ok(allow)
}
