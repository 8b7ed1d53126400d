//! Services that are deployed together: as a bundle lists them, or as drop-ins lie in a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use skep_policy::name::ServiceName;

use super::DeployError;
use super::source::{self, Place};
use crate::deploy::arrive::{DropIns, default_name};

/// One service of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) name: ServiceName,
    /// None if its manifest names what answers.
    pub(super) component: Option<Place>,
    /// Its manifest.
    pub(super) config: Option<PathBuf>,
    pub(super) signature: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    #[serde(default)]
    service: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: ServiceName,
    component: Place,
    config: Option<PathBuf>,
    signature: Option<PathBuf>,
}

/// What a manifest says of where its service comes from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    name: Option<ServiceName>,
    component: Option<PathBuf>,
    upstream: Option<toml::Value>,
    files: Option<toml::Value>,
}

impl Manifest {
    fn has_component(&self) -> bool {
        self.upstream.is_none() && self.files.is_none()
    }
}

/// The services of a bundle. Paths in it start from its folder.
pub(super) fn listed(file: &Path) -> Result<Vec<Item>, DeployError> {
    let bundle: Bundle = parse(file)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let below = |path: Option<PathBuf>| path.map(|path| folder.join(path));
    let items = bundle.service.into_iter().map(|entry| Item {
        name: entry.name,
        component: Some(entry.component.from(folder)),
        config: below(entry.config),
        signature: below(entry.signature),
    });
    let items: Vec<Item> = items.collect();
    if items.is_empty() {
        return Err(DeployError::EmptyBundle {
            file: file.to_owned(),
        });
    }
    once_each(file, items)
}

/// The services of a folder, as a host would find them there.
pub(super) fn of_folder(folder: &Path) -> Result<Vec<Item>, DeployError> {
    let found = DropIns::list(folder).map_err(|source| DeployError::Read {
        file: folder.to_owned(),
        source,
    })?;
    let mut described = BTreeSet::new();
    let mut items = Vec::new();
    for manifest in found.manifests {
        let said: Manifest = parse(&manifest)?;
        let beside = manifest.with_extension("wasm");
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let has_component = said.has_component();
        let component = said.component.map(|file| folder.join(file));
        described.insert(beside.clone());
        described.extend(component.clone());
        items.push(Item {
            name: said.name.map_or_else(|| named(&manifest), Ok)?,
            component: has_component.then(|| Place::File(component.unwrap_or(beside))),
            config: Some(manifest),
            signature: None,
        });
    }
    for component in found.components {
        if !described.contains(&component) {
            items.push(Item {
                name: named(&component)?,
                component: Some(Place::File(component)),
                config: None,
                signature: None,
            });
        }
    }
    if items.is_empty() {
        return Err(DeployError::EmptyFolder {
            folder: folder.to_owned(),
        });
    }
    once_each(folder, items)
}

fn named(file: &Path) -> Result<ServiceName, DeployError> {
    let name = ServiceName::try_from(default_name(file));
    name.map_err(|source| DeployError::Name {
        file: file.to_owned(),
        source,
    })
}

fn parse<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<T, DeployError> {
    let bytes = source::read(file)?;
    toml::from_slice(&bytes).map_err(|source| DeployError::Toml {
        file: file.to_owned(),
        source,
    })
}

/// In the order of their names.
fn once_each(place: &Path, mut items: Vec<Item>) -> Result<Vec<Item>, DeployError> {
    items.sort_by(|one, other| one.name.cmp(&other.name));
    let twice = items.windows(2).find(|two| two[0].name == two[1].name);
    match twice {
        Some(two) => Err(DeployError::Twice {
            place: place.to_owned(),
            name: two[0].name.clone(),
        }),
        None => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Names, components and manifests, from `folder`.
    fn shown(folder: &Path, items: Result<Vec<Item>, DeployError>) -> Vec<String> {
        let relative = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
        let show = |item: Item| {
            let component = match &item.component {
                Some(Place::File(file)) => relative(file),
                Some(Place::Registry(reference)) => reference.to_string(),
                None => "-".to_owned(),
            };
            let config = item.config.as_deref().map_or("-".to_owned(), relative);
            format!("{} {component} {config}", item.name)
        };
        items.unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn a_bundle_lists_services_by_paths_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle.toml");
        let text = "[[service]]\nname = \"b\"\ncomponent = \"x/b.wasm\"\nconfig = \"b.toml\"\n\
                    [[service]]\nname = \"a\"\ncomponent = \"oci:registry.example/a:1\"\n";
        fs::write(&file, text).unwrap();
        assert_eq!(
            shown(folder.path(), listed(&file)),
            ["a registry.example/a:1 -", "b x/b.wasm b.toml"]
        );
        let twice = text.replace("\"b\"", "\"a\"");
        for (text, what) in [
            ("", "lists no service"),
            ("[[service]]\nname = \"a\"", "missing field `component`"),
            ("[[services]]", "unknown field `services`"),
            (&text.replace("\"b\"", "\"B\""), "not a service name"),
            (
                &text.replace("oci:registry.example/", "oci:"),
                "names no registry",
            ),
            (&twice, "a is there twice"),
        ] {
            fs::write(&file, text).unwrap();
            let error = crate::telemetry::chain(&listed(&file).unwrap_err());
            assert!(error.contains(what), "no {what:?}: {error}");
            assert!(error.contains("bundle.toml"), "{error}");
        }
    }

    #[test]
    fn a_folder_is_read_as_drop_ins_are() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("shop")).unwrap();
        for (name, text) in [
            ("a.wasm", ""),
            ("b.wasm", ""),
            ("b.toml", "[limits]\ncpu = \"1s\"\n"),
            ("c.toml", "name = \"other\"\ncomponent = \"lib/c.wasm\"\n"),
            ("shop/service.toml", "component = \"target/shop.wasm\"\n"),
            ("far.toml", "upstream = \"http://far.example\"\n"),
            ("Cargo.toml", "["),
            (".d.wasm", ""),
        ] {
            fs::write(at(name), text).unwrap();
        }
        assert_eq!(
            shown(folder.path(), of_folder(folder.path())),
            [
                "a a.wasm -",
                "b b.wasm b.toml",
                "far - far.toml",
                "other lib/c.wasm c.toml",
                "shop shop/target/shop.wasm shop/service.toml",
            ]
        );
        fs::write(at("e.toml"), "name = \"a\"").unwrap();
        let error = of_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a is there twice"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let error = of_folder(empty.path()).unwrap_err().to_string();
        assert!(error.contains("no service in it"), "{error}");
    }
}
