//! Signatures of images in registries, as `cosign sign` makes them: a key signs a payload, which names the image's manifest,
//! which names the component as its one layer. A payload that no key signed is not even read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Distrust;
use crate::deploy::compile::Digest;

/// Kinds of layers that are components: the common layout's, and those of tools from before it.
pub const WASM_LAYERS: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
/// What a payload says that it is.
const PAYLOAD_TYPE: &str = "cosign container image signature";

/// What a registry has that vouches for an image, to be sent in the place of a signature of the component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// In base64.
    manifest: String,
    signatures: Vec<Signed>,
}

/// A payload and who signed it, both in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    payload: String,
    signature: String,
}

/// A payload, as far as it matters. The reference that it names is where the image was signed, and images are copied.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    manifest: Digest,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Digest,
}

impl Evidence {
    /// Of an image with this manifest, which nobody has signed yet.
    #[must_use]
    pub fn of(manifest: &[u8]) -> Self {
        Self {
            manifest: STANDARD.encode(manifest),
            signatures: Vec::new(),
        }
    }

    /// One more signature, in base64, and what it is of.
    pub fn add(&mut self, payload: &[u8], signature: &str) {
        self.signatures.push(Signed {
            payload: STANDARD.encode(payload),
            signature: signature.trim().to_owned(),
        });
    }

    /// The text that is sent; None if there is no signature.
    #[must_use]
    pub fn write(&self) -> Option<String> {
        let is_signed = !self.signatures.is_empty();
        is_signed.then(|| serde_json::to_string(self).ok())?
    }

    /// What stands in the place of a signature, if it is not one in base64.
    pub(super) fn read(text: &str) -> Option<Result<Self, Distrust>> {
        let read = || serde_json::from_str(text).map_err(|_| Distrust::Unknown);
        text.starts_with('{').then(read)
    }

    /// Whether somebody whose signature `is_known` vouches for an image that is `component` and nothing else.
    pub(super) fn check(
        &self,
        component: &[u8],
        is_known: impl Fn(&[u8], &str) -> bool,
    ) -> Result<(), Distrust> {
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| Distrust::Unknown);
        let manifest = decode(&self.manifest)?;
        let image = Digest::of(&manifest);
        let mut distrust = Distrust::Unknown;
        for Signed { payload, signature } in &self.signatures {
            let payload = decode(payload)?;
            if !is_known(&payload, signature) {
                continue;
            }
            let names = serde_json::from_slice(&payload).is_ok_and(|payload: Payload| {
                let critical = payload.critical;
                critical.kind == PAYLOAD_TYPE && critical.image.manifest == image
            });
            if names {
                return is_of(&manifest, Digest::of(component));
            }
            distrust = Distrust::AnotherImage;
        }
        Err(distrust)
    }
}

/// Whether the image has one layer, and that is the component.
fn is_of(manifest: &[u8], component: Digest) -> Result<(), Distrust> {
    let manifest = serde_json::from_slice(manifest);
    let manifest: Manifest = manifest.map_err(|_| Distrust::AnotherComponent)?;
    match &*manifest.layers {
        [layer] if layer.digest == component && WASM_LAYERS.contains(&&*layer.media_type) => Ok(()),
        _ => Err(Distrust::AnotherComponent),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OURS: &str = "ours";

    fn layer(component: &[u8]) -> Value {
        json!({"mediaType": WASM_LAYERS[0], "digest": Digest::of(component), "size": component.len()})
    }

    fn payload(kind: &str, manifest: &str) -> String {
        let image = json!({"docker-manifest-digest": Digest::of(manifest.as_bytes())});
        let identity = json!({"docker-reference": "registry.example/a"});
        json!({"critical": {"identity": identity, "image": image, "type": kind}, "optional": null})
            .to_string()
    }

    fn check(manifest: &str, signed: &[(&str, &str)], component: &[u8]) -> Result<(), Distrust> {
        let mut evidence = Evidence::of(manifest.as_bytes());
        for (payload, by) in signed {
            evidence.add(payload.as_bytes(), by);
        }
        let text = evidence.write().unwrap();
        let read = Evidence::read(&text).unwrap()?;
        assert_eq!(read, evidence);
        read.check(component, |_, signature| signature == OURS)
    }

    #[test]
    fn every_link_from_the_key_to_the_component_must_hold() {
        let manifest = json!({"schemaVersion": 2, "layers": [layer(b"a")]}).to_string();
        let good = &*payload(PAYLOAD_TYPE, &manifest);
        let of_another = &*payload(PAYLOAD_TYPE, "{}");
        let theirs = (good, "theirs");
        assert_eq!(check(&manifest, &[(good, OURS)], b"a"), Ok(()));
        let several = [theirs, (of_another, OURS), (good, OURS)];
        assert_eq!(check(&manifest, &several, b"a"), Ok(()));

        let unknown = check(&manifest, &[theirs], b"a");
        assert_eq!(unknown, Err(Distrust::Unknown));
        for payload in [
            of_another,
            &*payload("another kind of signature", &manifest),
            "{}",
            "",
        ] {
            let signed = [(payload, OURS), theirs];
            assert_eq!(check(&manifest, &signed, b"a"), Err(Distrust::AnotherImage));
        }
        let other = check(&manifest, &[(good, OURS)], b"b");
        assert_eq!(other, Err(Distrust::AnotherComponent));
    }

    #[test]
    fn an_image_is_its_component_and_nothing_else() {
        let mut tar = layer(b"a");
        tar["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
        for manifest in [
            json!({"layers": []}),
            json!({"layers": [layer(b"a"), layer(b"b")]}),
            json!({"layers": [tar]}),
            json!({"config": layer(b"a")}),
            json!({"manifests": [layer(b"a")]}),
            json!([]),
        ] {
            let manifest = manifest.to_string();
            let good = payload(PAYLOAD_TYPE, &manifest);
            let found = check(&manifest, &[(&good, OURS)], b"a");
            assert_eq!(found, Err(Distrust::AnotherComponent), "{manifest}");
        }
    }

    #[test]
    fn what_is_no_evidence_is_told_apart() {
        assert_eq!(Evidence::read("MEUCIQ=="), None);
        assert_eq!(Evidence::of(b"{}").write(), None);
        for text in [
            "{",
            "{}",
            r#"{"manifest": "", "signatures": [], "x": 1}"#,
            r#"{"manifest": "", "signatures": [{"payload": ""}]}"#,
        ] {
            assert_eq!(Evidence::read(text), Some(Err(Distrust::Unknown)), "{text}");
        }
        for text in [
            r#"{"manifest": "?", "signatures": []}"#,
            r#"{"manifest": "", "signatures": []}"#,
            r#"{"manifest": "", "signatures": [{"payload": "?", "signature": ""}]}"#,
        ] {
            let evidence = Evidence::read(text).unwrap().unwrap();
            assert_eq!(evidence.check(b"", |_, _| true), Err(Distrust::Unknown));
        }
    }
}
