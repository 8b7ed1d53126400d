//! What the names in a folder of drop-ins mean.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::config::service::SERVICE_TOML;

/// Files of other tools, and of the host, that end in `.toml` and are no service's.
const FOREIGN_MANIFESTS: [&str; 3] = ["skep.toml", "Cargo.toml", "rust-toolchain.toml"];

/// The names of a folder that may be services, sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DropIns {
    /// `NAME.toml`, and `service.toml` of each folder.
    pub manifests: Vec<PathBuf>,
    /// `NAME.wasm`.
    pub components: Vec<PathBuf>,
    /// Folders that hold a service or may come to.
    pub folders: Vec<PathBuf>,
}

impl DropIns {
    /// Lists a folder.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn list(folder: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(folder)? {
            found.sort_in(&entry?.path());
        }
        for names in [
            &mut found.manifests,
            &mut found.components,
            &mut found.folders,
        ] {
            names.sort();
        }
        Ok(found)
    }

    fn sort_in(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default();
        if is_temporary(name) {
            return;
        }
        match path.extension().and_then(OsStr::to_str) {
            Some("wasm") => self.components.push(path.to_owned()),
            Some("toml") if !FOREIGN_MANIFESTS.iter().any(|foreign| name == *foreign) => {
                self.manifests.push(path.to_owned());
            }
            _ if path.is_dir() => {
                let manifest = path.join(SERVICE_TOML);
                if fs::symlink_metadata(&manifest).is_ok() {
                    self.manifests.push(manifest);
                }
                self.folders.push(path.to_owned());
            }
            _ => {}
        }
    }
}

/// Hidden files, and those that editors and downloads leave for a while.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".") || name.ends_with(b"~") || name.starts_with(b"#")
}

/// The name that a drop-in goes by if its manifest gives no other.
#[must_use]
pub fn default_name(path: &Path) -> String {
    let name = if path.file_name().is_some_and(|name| name == SERVICE_TOML) {
        path.parent().and_then(Path::file_name)
    } else {
        path.file_stem()
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_passing_files_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            "b.wasm",
            "a.wasm",
            "a.toml",
            "Cargo.toml",
            "skep.toml",
            ".a.wasm",
            ".a.toml.swp",
            "a.wasm~",
            "a.wasm.tmp",
            "a.wasm.part",
            "a.wasm.crdownload",
            "#a.toml#",
            "README.md",
            "wasm",
        ] {
            fs::write(at(name), "").unwrap();
        }
        for name in ["shop", "empty", ".hidden"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("shop/service.toml"), "").unwrap();
        let expected = DropIns {
            manifests: vec![at("a.toml"), at("shop/service.toml")],
            components: vec![at("a.wasm"), at("b.wasm")],
            folders: vec![at("empty"), at("shop")],
        };
        assert_eq!(DropIns::list(folder.path()).unwrap(), expected);
        assert_eq!(default_name(&at("shop/service.toml")), "shop");
        assert_eq!(default_name(&at("a.wasm")), "a");
    }
}
