//! What vouches for an image in its registry: an annotation of its manifest, or what `cosign sign` has put beside it. Whether
//! that is worth anything is for the host to say.

use super::client::Session;
use super::error::RegistryError;
use super::manifest::Manifest;
use super::progress::hidden;
use super::{Pulled, Reference};
use crate::config::trust::Evidence;
use crate::deploy::compile::Digest;

/// The annotation with the component's signature, in base64.
pub(in crate::cli) const ANNOTATION: &str = "skep.component.signature";
/// Signatures that are looked at, the newest.
const SIGNATURES_MAX: usize = 8;
/// A larger payload is none.
const PAYLOAD_BYTES_MAX: u64 = 4 << 10;

/// A signature of the component, or else evidence of those that the image has; None if there is neither.
pub(super) async fn by(
    session: &mut Session,
    pulled: &Pulled,
    reference: &Reference,
) -> Result<Option<String>, RegistryError> {
    if let Some(signature) = pulled.annotations.get(ANNOTATION) {
        return Ok(Some(signature.clone()));
    }
    let beside = reference.signatures_of(pulled.digest);
    let written = match session.manifest(&beside.version().to_string()).await {
        Ok(written) => written,
        Err(RegistryError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let signatures = Manifest::read(&written, &beside)?;
    let mut evidence = Evidence::of(&pulled.manifest);
    for (payload, signature) in signatures.signatures().rev().take(SIGNATURES_MAX) {
        if payload.size > PAYLOAD_BYTES_MAX {
            continue;
        }
        let bytes = session.blob(payload, &hidden()).await?;
        let found = Digest::of(&bytes);
        if found != payload.digest {
            return Err(RegistryError::corrupt(&beside, payload.digest, found));
        }
        evidence.add(&bytes, signature);
    }
    Ok(evidence.write())
}
