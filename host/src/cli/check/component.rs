//! Whether a file is a component that the host would take. Reads and validates; compiles and runs nothing.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use skep_policy::size;
use wasmparser::{Validator, WasmFeatures};

use crate::deploy::compile::{ARTIFACT_BYTES_MAX, ArtifactKind, Contracts, Refused, component_of};

/// Why the host would refuse a component.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum BadComponent {
    #[error("can't be read: check the path, its permissions and that it is a file")]
    Read(#[source] io::Error),
    #[error(
        "is larger than {}, the most that is taken",
        size::show(ARTIFACT_BYTES_MAX)
    )]
    TooLarge,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("is not valid WebAssembly: build it again with current tools")]
    Invalid(#[source] wasmparser::BinaryReaderError),
}

/// How the component would be served, and what it shares with other services.
pub(super) fn examine(component: &Path) -> Result<(ArtifactKind, Contracts), BadComponent> {
    examine_bytes(&read(component)?)
}

/// The same of a component or core module that has been read.
pub(in crate::cli) fn examine_bytes(
    bytes: &[u8],
) -> Result<(ArtifactKind, Contracts), BadComponent> {
    let (component, kind, contracts) = component_of(bytes)?;
    // Wasmtime takes fewer proposals than there are; what it refuses beyond that, the deployment says.
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(&component)
        .map_err(BadComponent::Invalid)?;
    Ok((kind, contracts))
}

/// A file's bytes, unless they are more than a component may have.
pub(in crate::cli) fn read(component: &Path) -> Result<Vec<u8>, BadComponent> {
    // Opening a pipe would wait for a writer.
    let metadata = std::fs::metadata(component).map_err(BadComponent::Read)?;
    if !metadata.is_file() {
        return Err(BadComponent::Read(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(component)
        .and_then(|file| file.take(ARTIFACT_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(BadComponent::Read)?;
    if bytes.len() as u64 > ARTIFACT_BYTES_MAX {
        return Err(BadComponent::TooLarge);
    }
    Ok(bytes)
}
