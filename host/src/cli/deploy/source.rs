//! What is sent: a component from a file or a registry, its manifest as the API takes it, its signature.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use serde::Deserialize;

use super::DeployError;
use crate::cli::check::component;
use crate::cli::registry::{self, Reference, ReferenceError};
use crate::cli::small_file;
use crate::deploy::compile::Digest;

/// What stands before a reference, so that it is not taken for a file.
const OCI: &str = "oci:";
/// Keys of a manifest that say where the service comes from. The API is told that in other ways, and takes none of them.
const KEYS_OF_FILES: [&str; 3] = ["name", "component", "build"];

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Place {
    File(PathBuf),
    Registry(Reference),
}

/// A component, read.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) bytes: Bytes,
    pub(super) digest: Digest,
    /// Where it comes from, for people: the file, or the reference by the manifest's digest.
    pub(super) source: String,
    /// Who vouches for it: what was given, or else what the registry has.
    pub(super) signature: Option<String>,
}

impl FromStr for Place {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.starts_with(OCI) {
            return text.parse().map(Self::Registry);
        }
        Ok(Self::File(text.into()))
    }
}

impl TryFrom<String> for Place {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl Place {
    /// The same, with a file's path starting from `folder`.
    pub(super) fn from(self, folder: &Path) -> Self {
        match self {
            Self::File(file) => Self::File(folder.join(file)),
            registry @ Self::Registry(_) => registry,
        }
    }

    /// Reads or fetches it, and who vouches for it unless that is given. What they are is for the host to say.
    pub(super) async fn read(&self, given: Option<String>) -> Result<Component, DeployError> {
        match self {
            Self::File(file) => {
                let bytes = component::read(file);
                let bytes = Bytes::from(bytes.map_err(|source| DeployError::Component {
                    file: file.clone(),
                    source: source.into(),
                })?);
                Ok(Component {
                    digest: Digest::of(&bytes),
                    bytes,
                    source: file.display().to_string(),
                    signature: given,
                })
            }
            Self::Registry(reference) => {
                let (pulled, signature) = match given {
                    Some(_) => (registry::pull(reference).await?, given),
                    None => registry::pull_vouched(reference).await?,
                };
                Ok(Component {
                    bytes: pulled.bytes,
                    digest: pulled.component,
                    source: format!("{OCI}{}", pulled.reference),
                    signature,
                })
            }
        }
    }
}

/// A manifest's text, without the keys that only files need.
pub(super) fn config(file: &Path) -> Result<String, DeployError> {
    let text = String::from_utf8(read(file)?).map_err(|source| DeployError::Read {
        file: file.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, source),
    })?;
    without_keys_of_files(&text).map_err(|source| DeployError::Toml {
        file: file.to_owned(),
        source,
    })
}

/// A text that has none of these keys stays as it is: lines that the host names are those of the file.
fn without_keys_of_files(text: &str) -> Result<String, toml::de::Error> {
    let mut table: toml::Table = toml::from_str(text)?;
    let removed = KEYS_OF_FILES.map(|key| table.remove(key));
    match removed.iter().any(Option::is_some) {
        true => Ok(table.to_string()),
        false => Ok(text.to_owned()),
    }
}

/// A signature in base64, whether the file has it so or as bytes.
pub(super) fn signature(file: &Path) -> Result<String, DeployError> {
    small_file::signature(file).map_err(|source| unreadable(file, source))
}

/// A small file, whole.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, DeployError> {
    small_file::read(file).map_err(|source| unreadable(file, source))
}

fn unreadable(file: &Path, source: io::Error) -> DeployError {
    DeployError::Read {
        file: file.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_references_are_told_apart() {
        let place = |text: &str| text.parse::<Place>();
        assert_eq!(place("a.wasm").unwrap(), Place::File("a.wasm".into()));
        assert_eq!(place("c:a.wasm").unwrap(), Place::File("c:a.wasm".into()));
        let reference = place("oci:registry.example/team/a:1").unwrap();
        assert!(matches!(&reference, Place::Registry(_)));
        assert_eq!(reference.clone().from(Path::new("/x")), reference);
        assert!(place("oci:a").is_err());
        assert_eq!(
            place("a.wasm").unwrap().from(Path::new("/x")),
            Place::File("/x/a.wasm".into())
        );
    }

    #[test]
    fn keys_of_files_are_dropped_and_the_rest_is_kept() {
        let text = "# mine\nname = \"a\"\ncomponent = \"a.wasm\"\n\n[limits]\ncpu = \"1s\"\n\n[build]\ncommand = \"make\"\n";
        let sent: toml::Table = without_keys_of_files(text).unwrap().parse().unwrap();
        assert_eq!(sent.keys().collect::<Vec<_>>(), ["limits"]);
        assert_eq!(sent["limits"]["cpu"].as_str(), Some("1s"));
        let text = "# mine\n[limits]\ncpu = \"1s\"\n";
        assert_eq!(without_keys_of_files(text).unwrap(), text);
        assert!(without_keys_of_files("[limits").is_err());
    }
}
