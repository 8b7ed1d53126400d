//! Makes components of core modules, with the adapter from WASI preview 1 that fits.

use std::borrow::Cow;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use super::artifact::ArtifactKind;
use super::contracts::Contracts;
use super::inspect::{Inspected, inspect};
use super::refused::{Reasons, Refused};

type Found<'a> = (Cow<'a, [u8]>, ArtifactKind, Contracts);

/// The component that an artifact is or becomes, how it is served, and what it shares with other services.
///
/// # Errors
/// [`Refused`] says what is wrong with the artifact and what to do.
pub fn component_of(artifact: &[u8]) -> Result<Found<'_>, Refused> {
    let adapter = match inspect(artifact)? {
        Inspected::Component(kind, contracts) => {
            return Ok((Cow::Borrowed(artifact), kind, contracts));
        }
        Inspected::Command => WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        Inspected::Reactor => WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    let component = encode(artifact, adapter).map_err(|error| Refused::Componentize {
        source: Reasons::new(error.chain().map(ToString::to_string)),
    })?;
    match inspect(&component)? {
        Inspected::Component(kind, contracts) => Ok((Cow::Owned(component), kind, contracts)),
        Inspected::Command | Inspected::Reactor => Err(Refused::Componentize {
            source: Reasons::new(["the encoder returned a core module".to_owned()]),
        }),
    }
}

fn encode(module: &[u8], adapter: &[u8]) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default()
        .module(module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
        .validate(true)
        .encode()
}
