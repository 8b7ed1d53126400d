//! A compiled component becomes a program: every import is matched with what the host offers.

use wasmtime_wasi::p2::bindings::CommandIndices;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wasmtime_wasi_http::p3::bindings::ServiceIndices;

use super::DeployError;
use super::compile::{ArtifactKind, Compiled, Contracts};
use crate::capability::functions;
use crate::config::ServiceConfig;
use crate::engine::{Engines, Kind};
use crate::request::run::functions::Functions;
use crate::request::run::program::{Entry, Program};

/// The program, and the claims on the instance pool that one instance of it takes.
pub(super) fn link(
    engines: &Engines,
    compiled: &Compiled,
    config: &ServiceConfig,
) -> Result<(Program, u32), DeployError> {
    let refuse = |error: wasmtime::Error| {
        DeployError::Link(format!("the component can't be linked: {error:#}"))
    };
    let claims = Engines::claims(&compiled.component).map_err(DeployError::Link)?;
    let linker = engines.linker(compiled.kind.engine());
    let contracts = &compiled.contracts;
    let instance = if contracts.imports.is_empty() {
        linker.instantiate_pre(&compiled.component)
    } else {
        let mut linker = linker.clone();
        functions::add_to_linker(&mut linker, contracts).map_err(refuse)?;
        linker.instantiate_pre(&compiled.component)
    };
    let instance = instance.map_err(refuse)?;
    let entry = match compiled.kind {
        ArtifactKind::Http02 => ProxyIndices::new(&instance).map(Entry::Http02),
        ArtifactKind::Http03 => ServiceIndices::new(&instance).map(Entry::Http03),
        ArtifactKind::Command => CommandIndices::new(&instance).map(Entry::Command),
        ArtifactKind::Functions => Ok(Entry::None),
    };
    let program = Program {
        entry: entry.map_err(refuse)?,
        functions: Functions::of(&compiled.component, contracts).map_err(refuse)?,
        calls_functions: contracts.has_calls(),
        instance,
    };
    fits(compiled.kind, contracts, config).map_err(DeployError::Link)?;
    Ok((program, claims))
}

/// Whether a component of `kind` can be used as `[instances]` says.
///
/// # Errors
/// A sentence that says why not.
pub(crate) fn fits(
    kind: ArtifactKind,
    contracts: &Contracts,
    config: &ServiceConfig,
) -> Result<(), String> {
    let more_than_one = |given: Option<u32>| given.is_some_and(|given| given > 1);
    if kind.engine() == Kind::Sync && more_than_one(config.instances.concurrency) {
        return Err(format!(
            "[instances] concurrency is more than 1, but a {kind} serves one request at a time"
        ));
    }
    if contracts.has_calls() && more_than_one(config.instances.concurrency) {
        return Err(
            "[instances] concurrency is more than 1, but a component that calls functions of other services works \
             on one request at a time"
                .to_owned(),
        );
    }
    if kind == ArtifactKind::Functions && config.tolerance.health.is_some() {
        return Err(
            "[health] asks for a path, but the component has functions alone: take it out"
                .to_owned(),
        );
    }
    if kind == ArtifactKind::Command && more_than_one(config.instances.reuse) {
        return Err(format!(
            "[instances] reuse is more than 1, but a {kind} serves one request in its life"
        ));
    }
    Ok(())
}
