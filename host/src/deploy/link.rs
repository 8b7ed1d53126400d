//! A compiled component becomes a program: every import is matched with what the host offers.

use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::{p2, p3};

use super::DeployError;
use super::compile::{ArtifactKind, Compiled};
use crate::config::ServiceConfig;
use crate::engine::Engines;
use crate::request::run::Program;

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
    let pre = engines
        .linker(compiled.kind.engine())
        .instantiate_pre(&compiled.component)
        .map_err(refuse)?;
    let program = match compiled.kind {
        ArtifactKind::Http02 => Program::Http02(p2::bindings::ProxyPre::new(pre).map_err(refuse)?),
        ArtifactKind::Http03 => {
            Program::Http03(p3::bindings::ServicePre::new(pre).map_err(refuse)?)
        }
        ArtifactKind::Command => Program::Command(CommandPre::new(pre).map_err(refuse)?),
    };
    fits(compiled.kind, config).map_err(DeployError::Link)?;
    Ok((program, claims))
}

/// Whether a component of `kind` can be used as `[instances]` says.
///
/// # Errors
/// A sentence that says why not.
pub(crate) fn fits(kind: ArtifactKind, config: &ServiceConfig) -> Result<(), String> {
    let more_than_one = |given: Option<u32>| given.is_some_and(|given| given > 1);
    if kind != ArtifactKind::Http03 && more_than_one(config.instances.concurrency) {
        return Err(format!(
            "[instances] concurrency is more than 1, but a {kind} serves one request at a time"
        ));
    }
    if kind == ArtifactKind::Command && more_than_one(config.instances.reuse) {
        return Err(format!(
            "[instances] reuse is more than 1, but a {kind} serves one request in its life"
        ));
    }
    Ok(())
}
