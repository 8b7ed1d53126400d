//! A configuration that was sent, not found: it may read nothing of the host that takes it.

use std::path::Path;

use skep_policy::name::ServiceName;

use super::ServiceConfig;
use super::resolve::{Confined, resolve};
use crate::config::document::Document;
use crate::config::error::ConfigError;
use crate::config::raw::RawService;

/// What a text that was sent is called in errors.
const NAME: &str = "config";

/// The service `name` as `text` configures it, a manifest without `name` and `component`. Its component has been kept at
/// `component`, absolute; without one the text must name an upstream.
///
/// # Errors
/// If the text is no such manifest, with the line.
pub fn sent(
    name: &ServiceName,
    text: &str,
    component: Option<&Path>,
) -> Result<ServiceConfig, ConfigError> {
    let document = Document::from_bytes(Path::new(NAME), text.as_bytes().to_vec())?.sent();
    let scope = document.root();
    let mut raw: RawService = document.decode()?;
    let refuse = |keys: &[&str], is_there: bool, what: &str| match is_there {
        true => Err(scope.error(keys, what)),
        false => Ok(()),
    };
    refuse(
        &["name"],
        raw.name.is_some(),
        "is not for a configuration that is sent: the request names the service",
    )?;
    refuse(
        &["component"],
        raw.component.is_some(),
        "is not for a configuration that is sent: the component is sent with it",
    )?;
    refuse(
        &["build"],
        raw.build.is_some(),
        "is not for a configuration that is sent: what is built is sent",
    )?;
    let what = "is not for a configuration that is sent, since it reads the host's own environment: set values in [env]";
    refuse(&["env_inherit"], raw.env_inherit.is_some(), what)?;
    let what = "is not for a configuration that is sent, since it is the host's own: drop it in, or list it in skep.toml";
    refuse(&["files"], raw.files.is_some(), what)?;
    refuse(&["upstream_ca"], raw.upstream_ca.is_some(), what)?;
    let is_nothing = component.is_none() && raw.upstream.is_none();
    let what = "there is no component: send it as the part `artifact`, or name an `upstream`";
    refuse(&[], is_nothing, what)?;
    raw.component = component.map(|component| component.display().to_string());
    resolve(
        raw,
        &scope,
        Some(name.to_string()),
        Confined::Nowhere,
        &|_| None,
    )
}
