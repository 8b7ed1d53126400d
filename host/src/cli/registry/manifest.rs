//! What an image is made of: its manifest, and the config of one that is a component.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wasmparser::{BinaryReaderError, ComponentExternName, Encoding, Parser, Payload};

use super::error::RegistryError;
use super::reference::Reference;
use crate::cli::style::harmless;
use crate::config::trust::WASM_LAYERS;
use crate::deploy::compile::Digest;

pub(super) const MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Everything a registry may have under a name: what is asked for less is told to be missing where it is there.
pub(super) const MANIFESTS_ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";
const CONFIG_MEDIA_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// Of what `cosign sign` signs.
const PAYLOAD_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a payload's layer that is its signature, in base64.
const PAYLOAD_SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CONTAINER_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];
const NAMES_SHOWN_MAX: usize = 3;

/// An image's manifest, or the index of several images. Fields that are not used here are left out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    /// Those of an index.
    #[serde(default, skip_serializing)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// A blob: what kind it is and what it has to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: String,
    pub(super) digest: Digest,
    /// In bytes.
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// What CNCF's layout says of a component.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    /// RFC 3339.
    created: String,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [Digest; 1],
    /// Not of a core module.
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<World>,
}

/// The names at the outermost level of a component.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct World {
    exports: Vec<String>,
    imports: Vec<String>,
    /// A world that could be looked up; the binary does not name one.
    target: Option<String>,
}

impl Manifest {
    pub(super) fn new(
        config: Descriptor,
        layer: Descriptor,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST_MEDIA_TYPE.to_owned()),
            config: Some(config),
            layers: vec![layer],
            manifests: None,
            annotations,
        }
    }

    /// # Errors
    /// When `written` is no manifest.
    pub(super) fn read(written: &[u8], reference: &Reference) -> Result<Self, RegistryError> {
        serde_json::from_slice(written).map_err(|source| RegistryError::Manifest {
            reference: reference.to_string(),
            source,
        })
    }

    /// As it is stored, and its digest is made of.
    pub(super) fn write(&self) -> Bytes {
        json(self)
    }

    /// The layer that is the component.
    ///
    /// # Errors
    /// When the image is something else.
    pub(super) fn component(&self, reference: &Reference) -> Result<&Descriptor, RegistryError> {
        match &*self.layers {
            [layer] if layer.is_wasm() => Ok(layer),
            _ => Err(RegistryError::NotWasm {
                reference: reference.to_string(),
                what: self.what(),
            }),
        }
    }

    /// Of an image that `cosign sign` made: what was signed, and the signatures in base64.
    pub(super) fn signatures(&self) -> impl DoubleEndedIterator<Item = (&Descriptor, &str)> {
        let layers = self.layers.iter();
        let payloads = layers.filter(|layer| layer.media_type == PAYLOAD_MEDIA_TYPE);
        payloads
            .filter_map(|layer| Some((layer, layer.annotations.get(PAYLOAD_SIGNATURE)?.as_str())))
    }

    /// What kind of image it is, with its article.
    fn what(&self) -> String {
        if self.manifests.is_some() {
            return "an index of images for several platforms".to_owned();
        }
        if self.layers.len() > 1 && self.layers.iter().any(Descriptor::is_wasm) {
            return format!("an image of {} layers", self.layers.len());
        }
        let config = self.config.as_ref().map(|config| &*config.media_type);
        let kind = match config {
            Some(config) if CONTAINER_CONFIGS.contains(&config) => "a container image".to_owned(),
            Some(config) => format!("an image with the config {}", harmless(config)),
            None => "an image without a config".to_owned(),
        };
        let mut layers: Vec<String> = self
            .layers
            .iter()
            .map(|layer| harmless(&layer.media_type))
            .collect();
        layers.dedup();
        layers.truncate(NAMES_SHOWN_MAX);
        match &*layers {
            [] => format!("{kind} (no layers)"),
            layers => format!("{kind} (layers: {})", layers.join(", ")),
        }
    }
}

impl Descriptor {
    pub(super) fn of_component(bytes: &[u8]) -> Self {
        Self::of(WASM_LAYERS[0], bytes)
    }

    pub(super) fn of_config(bytes: &[u8]) -> Self {
        Self::of(CONFIG_MEDIA_TYPE, bytes)
    }

    fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
        }
    }

    fn is_wasm(&self) -> bool {
        let kind = self.media_type.as_str();
        WASM_LAYERS.contains(&kind)
    }
}

impl Config {
    /// The config of the component or core module `bytes`, as it is stored.
    ///
    /// # Errors
    /// When their structure can't be read.
    pub(super) fn describe(bytes: &[u8], digest: Digest) -> Result<Bytes, RegistryError> {
        let component = world(bytes).map_err(RegistryError::Component)?;
        let now = OffsetDateTime::now_utc().replace_nanosecond(0);
        let created = now.ok().and_then(|now| now.format(&Rfc3339).ok());
        Ok(json(&Self {
            created: created.unwrap_or_default(),
            architecture: "wasm",
            os: if component.is_some() {
                "wasip2"
            } else {
                "wasip1"
            },
            layer_digests: [digest],
            component,
        }))
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Strings, numbers, and maps with keys of text: all of them can be written.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// What a component imports and exports; none of a core module.
fn world(bytes: &[u8]) -> Result<Option<World>, BinaryReaderError> {
    let name = |name: &ComponentExternName<'_>| {
        format!("{}{}", name.name, name.version_suffix.unwrap_or_default())
    };
    let mut world = World::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => return Ok(None),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    world.imports.push(name(&import?.name));
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    world.exports.push(name(&export?.name));
                }
            }
            _ => {}
        }
    }
    Ok(Some(world))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn reference() -> Reference {
        "registry.example/a:1".parse().unwrap()
    }

    fn manifest(config: &str, layers: &[&str]) -> Manifest {
        let blob = |kind: &&str| serde_json::json!({"mediaType": kind, "digest": DIGEST, "size": 3, "annotations": {}});
        let layers: Vec<_> = layers.iter().map(blob).collect();
        let written =
            serde_json::json!({"schemaVersion": 2, "config": blob(&config), "layers": layers});
        Manifest::read(written.to_string().as_bytes(), &reference()).unwrap()
    }

    #[test]
    fn layouts_of_old_and_new_tools_are_taken() {
        for (config, layer) in [
            (CONFIG_MEDIA_TYPE, WASM_LAYERS[0]),
            (
                "application/vnd.wasm.config.v1+json",
                "application/vnd.wasm.content.layer.v1+wasm",
            ),
            (
                "application/vnd.wasmcloud.actor.archive.config",
                "application/vnd.module.wasm.content.layer.v1+wasm",
            ),
        ] {
            let manifest = manifest(config, &[layer]);
            assert_eq!(manifest.component(&reference()).unwrap().size, 3);
        }
    }

    #[test]
    fn what_is_no_component_is_told_for_what_it_is() {
        let tar = "application/vnd.oci.image.layer.v1.tar+gzip";
        for (manifest, what) in [
            (
                manifest(CONTAINER_CONFIGS[0], &[tar, tar]),
                format!("a container image (layers: {tar})"),
            ),
            (
                manifest("a\u{1b}b", &[]),
                "an image with the config a\\u{1b}b (no layers)".into(),
            ),
            (
                manifest(CONFIG_MEDIA_TYPE, &[WASM_LAYERS[0], WASM_LAYERS[0]]),
                "an image of 2 layers".into(),
            ),
        ] {
            let error = manifest.component(&reference()).unwrap_err();
            assert!(
                matches!(&error, RegistryError::NotWasm { what: found, .. } if *found == what),
                "{error}"
            );
        }
        let index = br#"{"schemaVersion": 2, "manifests": [{"digest": "x"}]}"#;
        let error = Manifest::read(index, &reference())
            .unwrap()
            .component(&reference())
            .unwrap_err();
        assert!(
            error.to_string().contains("an index of images for several"),
            "{error}"
        );
    }

    #[test]
    fn rubbish_is_no_manifest() {
        for written in [
            "",
            "<html>",
            "[]",
            r#"{"schemaVersion": 2, "layers": [{"mediaType": "x", "digest": "sha256:1", "size": 1}]}"#,
            r#"{"schemaVersion": 2, "layers": [{"mediaType": "x", "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "size": -1}]}"#,
        ] {
            let error = Manifest::read(written.as_bytes(), &reference()).unwrap_err();
            assert!(matches!(error, RegistryError::Manifest { .. }), "{error}");
        }
    }

    #[test]
    fn a_component_s_config_names_what_it_imports_and_exports() {
        let component = wat::parse_str(
            "(component (import \"wasi:clocks/wall-clock@0.2.3\" (instance)) (core module) (instance $i) \
                 (export \"shop:inventory/stock@0.1.0\" (instance $i)))",
        )
        .unwrap();
        let digest = Digest::of(&component);
        let written = Config::describe(&component, digest).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&written).unwrap();
        let expected = serde_json::json!({
            "created": config["created"], "architecture": "wasm", "os": "wasip2", "layerDigests": [digest],
            "component": {
                "exports": ["shop:inventory/stock@0.1.0"], "imports": ["wasi:clocks/wall-clock@0.2.3"], "target": null,
            },
        });
        assert_eq!(config, expected);
        let created = config["created"].as_str().unwrap();
        assert!(
            OffsetDateTime::parse(created, &Rfc3339).is_ok(),
            "{created}"
        );
    }

    #[test]
    fn a_core_module_has_no_component_in_its_config() {
        let module = wat::parse_str("(module)").unwrap();
        let written = Config::describe(&module, Digest::of(&module)).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(config["os"], "wasip1");
        assert_eq!(config.get("component"), None);
    }
}
