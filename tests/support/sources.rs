//! The sources of a service, as `skep new` makes them, to be built and edited.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::guests::root;
use super::verb::skep_in;

/// How cargo is run below `skep`: with one target folder, so that what all services need is compiled once (which is why
/// each test gives its service a name of its own), and with what the guests are built from, which is there already.
pub(crate) fn cargo_environment() -> [(OsString, OsString); 2] {
    let target = root().join("target/e2e-services");
    [
        ("CARGO_TARGET_DIR".into(), target.into()),
        ("CARGO_NET_OFFLINE".into(), "true".into()),
    ]
}

/// A service's folder in a folder of its own.
#[derive(Debug)]
pub(crate) struct Sources {
    parent: TempDir,
    name: String,
}

impl Sources {
    /// `skep new NAME`.
    pub(crate) async fn new(name: &str) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let said = skep_in(parent.path(), ["new", name]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let name = name.to_owned();
        Self { parent, name }
    }

    /// The folder that the service's lies in.
    pub(crate) fn parent(&self) -> &Path {
        self.parent.path()
    }

    /// A file of the service.
    pub(crate) fn at(&self, file: &str) -> PathBuf {
        self.parent.path().join(&self.name).join(file)
    }

    /// Writes `to` for each `from` in src/lib.rs, as an editor does.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let file = self.at("src/lib.rs");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "no {from:?} in {text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    }
}
