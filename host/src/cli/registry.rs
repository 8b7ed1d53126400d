//! Components in OCI registries, for the command line: the host itself never talks to a registry.
//!
//! The layout is CNCF's for WebAssembly: a config that describes the component, and its bytes as the one layer.
//! Nothing that a registry says is believed: manifests and layers are checked against their digests.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use self::client::{Access, Session};
use self::manifest::{Config, Descriptor, MANIFEST_MEDIA_TYPE, Manifest};
use crate::deploy::compile::{ARTIFACT_BYTES_MAX, Digest};

mod auth;
mod client;
mod credentials;
mod error;
mod manifest;
mod progress;
mod reference;
mod vouched;

pub(super) use self::error::RegistryError;
pub(super) use self::reference::{Reference, ReferenceError, Version};
pub(super) use self::vouched::ANNOTATION as SIGNATURE_ANNOTATION;

/// For all that one pull or push takes.
const TIMEOUT: Duration = Duration::from_mins(10);

/// A component that a registry had.
#[derive(Debug)]
pub(super) struct Pulled {
    /// The component or core module; no more is known of them than that they have the layer's digest.
    pub(super) bytes: Bytes,
    /// The digest of these bytes.
    pub(super) component: Digest,
    /// The manifest's digest.
    pub(super) digest: Digest,
    /// Where it was found, by the manifest's digest: the same for as long as it is there.
    pub(super) reference: Reference,
    /// The manifest, as it is stored.
    manifest: Bytes,
    /// The manifest's annotations; a signature that was made with the manifest is one of them.
    pub(super) annotations: BTreeMap<String, String>,
}

/// A component that a registry has now.
#[derive(Debug)]
pub(super) struct Pushed {
    /// The manifest's digest.
    pub(super) digest: Digest,
    /// Where it is, by the manifest's digest.
    pub(super) reference: Reference,
    /// The digest of the component's bytes.
    pub(super) component: Digest,
}

/// Fetches the component at `reference`, with the login that Docker's configuration has for the registry. Shows
/// progress on a terminal.
///
/// # Errors
/// [`RegistryError`] says why there is none, or none that can be used.
pub(super) async fn pull(reference: &Reference) -> Result<Pulled, RegistryError> {
    let fetched = async {
        let mut session = Session::new(reference, Access::Pull)?;
        fetch(&mut session, reference).await
    };
    within(reference, fetched).await
}

/// The same, with what vouches for the component, if there is anything.
///
/// # Errors
/// As [`pull`].
pub(super) async fn pull_vouched(
    reference: &Reference,
) -> Result<(Pulled, Option<String>), RegistryError> {
    let fetched = async {
        let mut session = Session::new(reference, Access::Pull)?;
        let pulled = fetch(&mut session, reference).await?;
        let signature = vouched::by(&mut session, &pulled, reference).await?;
        Ok((pulled, signature))
    };
    within(reference, fetched).await
}

/// Stores a component or core module at `reference`, which names a tag, with `annotations` in its manifest. Shows
/// progress on a terminal.
///
/// # Errors
/// [`RegistryError`] says why the registry does not have it.
pub(super) async fn push(
    reference: &Reference,
    bytes: Bytes,
    annotations: BTreeMap<String, String>,
) -> Result<Pushed, RegistryError> {
    within(reference, store(reference, bytes, annotations)).await
}

async fn within<T>(
    reference: &Reference,
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Result<T, RegistryError> {
    timeout(TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(RegistryError::timeout(reference.host(), TIMEOUT)))
}

async fn fetch(session: &mut Session, reference: &Reference) -> Result<Pulled, RegistryError> {
    let written = session.manifest(&reference.version().to_string()).await?;
    let digest = Digest::of(&written);
    if let Version::Digest(expected) = reference.version()
        && *expected != digest
    {
        return Err(RegistryError::corrupt(reference, *expected, digest));
    }
    let manifest = Manifest::read(&written, reference)?;
    let layer = manifest.component(reference)?;
    if layer.size > ARTIFACT_BYTES_MAX {
        return Err(RegistryError::TooLarge {
            reference: reference.to_string(),
            bytes: layer.size,
        });
    }
    let bar = progress::bar("pulling", layer.size);
    let bytes = session.blob(layer, &bar).await?;
    bar.finish_and_clear();
    let found = Digest::of(&bytes);
    if found != layer.digest {
        return Err(RegistryError::corrupt(reference, layer.digest, found));
    }
    Ok(Pulled {
        bytes,
        component: found,
        digest,
        reference: reference.at(digest),
        manifest: written,
        annotations: manifest.annotations,
    })
}

async fn store(
    reference: &Reference,
    bytes: Bytes,
    annotations: BTreeMap<String, String>,
) -> Result<Pushed, RegistryError> {
    let tag = reference.version().to_string();
    let layer = Descriptor::of_component(&bytes);
    let component = layer.digest;
    let described = Config::describe(&bytes, component)?;
    let config = Descriptor::of_config(&described);
    let mut session = Session::new(reference, Access::Push)?;
    let bar = progress::bar("pushing", layer.size);
    session.upload(&layer, bytes, &bar).await?;
    bar.finish_and_clear();
    session
        .upload(&config, described, &progress::hidden())
        .await?;
    // Last: whoever finds the manifest finds all that it names.
    let manifest = Manifest::new(config, layer, annotations).write();
    let digest = Digest::of(&manifest);
    session
        .put_manifest(&tag, MANIFEST_MEDIA_TYPE, manifest)
        .await?;
    Ok(Pushed {
        digest,
        reference: reference.at(digest),
        component,
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_manifest_must_have_the_digest_that_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reference = format!("{address}/a@{}", Digest::of(b"{}"));
        let reference = reference.parse().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let read = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{ }";
            stream.write_all(answer.as_bytes()).await.unwrap();
            read
        };
        let (pulled, _) = tokio::join!(pull(&reference), server);
        let error = pulled.unwrap_err();
        assert!(matches!(error, RegistryError::Corrupt { .. }), "{error}");
    }
}
