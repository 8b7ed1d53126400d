//! Which directories to watch, and for which names, so that no change of what a path leads to is missed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;

/// Names in a directory whose events matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interest {
    /// Any.
    Every,
    /// These.
    Names(BTreeSet<OsString>),
}

/// Directories to watch, none of them recursively, each by its one path without symlinks: the kernel watches
/// a directory once and reports it by the path that was given last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directories(BTreeMap<PathBuf, Interest>);

impl Directories {
    /// Adds a directory, if it is there, of which every entry matters.
    pub fn add_every(&mut self, directory: &Path) {
        if let Ok(directory) = directory.canonicalize() {
            self.0.insert(directory, Interest::Every);
        }
    }

    /// Adds what decides where `path` leads: the directory of each symlink on the way and of the end, or of
    /// the first name that is missing.
    pub(super) fn add_trail(&mut self, path: &Path) {
        let mut ahead = parts(path);
        let mut behind = PathBuf::new();
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                behind.pop();
                continue;
            }
            let next = behind.join(&part);
            match fs::read_link(&next) {
                Ok(target) => {
                    self.add_name(&behind, &part);
                    links += 1;
                    if links > LINKS_MAX {
                        return;
                    }
                    if target.is_absolute() {
                        behind = PathBuf::new();
                    }
                    for part in parts(&target).into_iter().rev() {
                        ahead.push_front(part);
                    }
                }
                Err(_) if ahead.is_empty() || fs::symlink_metadata(&next).is_err() => {
                    self.add_name(&behind, &part);
                    return;
                }
                Err(_) => behind = next,
            }
        }
    }

    fn add_name(&mut self, directory: &Path, name: &OsStr) {
        let nowhere = || Interest::Names(BTreeSet::new());
        if let Interest::Names(names) = self.0.entry(directory.to_owned()).or_insert_with(nowhere) {
            names.insert(name.to_owned());
        }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }

    pub(super) fn contains(&self, directory: &Path) -> bool {
        self.0.contains_key(directory)
    }

    /// Whether an event at `path` matters.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        let by_name = || {
            let interest = self.0.get(path.parent()?)?;
            Some(match interest {
                Interest::Every => true,
                Interest::Names(names) => names.contains(path.file_name()?),
            })
        };
        self.contains(path) || by_name().unwrap_or(false)
    }
}

/// The names of a path; the root is one, so that joining starts there.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_watched_where_it_lies() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        for directory in ["services", "releases/1", "elsewhere"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("releases/1/hello.wasm"), "").unwrap();
        symlink("../releases/1", at("elsewhere/current")).unwrap();
        symlink(
            at("elsewhere/current/hello.wasm"),
            at("services/hello.wasm"),
        )
        .unwrap();
        let mut directories = Directories::default();
        directories.add_trail(&at("services/hello.wasm"));
        for concerned in [
            "services/hello.wasm",
            "elsewhere/current",
            "releases/1/hello.wasm",
        ] {
            assert!(directories.concerns(&at(concerned)), "{concerned}");
        }
        for other in ["services/other.wasm", "releases/1/x", "releases/2", "x"] {
            assert!(!directories.concerns(&at(other)), "{other}");
        }
        directories.add_every(&at("services"));
        assert!(directories.concerns(&at("services/other.wasm")));
    }

    #[test]
    fn a_missing_folder_is_awaited_where_its_first_missing_name_will_be() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let mut directories = Directories::default();
        directories.add_trail(&root.join("a/b/services"));
        assert!(directories.concerns(&root.join("a")));
        assert_eq!(directories.paths().collect::<Vec<_>>(), [&root]);
    }

    #[test]
    fn links_in_a_circle_end() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        Directories::default().add_trail(&root.path().join("a"));
    }
}
