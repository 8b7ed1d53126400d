//! The sources of a service as they are: to tell without reading whether it has to be built again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use glob::MatchOptions;

use crate::config::build::{Build, Watched};
use crate::deploy::arrive::{Stamp, is_temporary};

/// Folders of what builds and their tools write.
const NO_SOURCES: [&str; 2] = ["target", "node_modules"];
/// As shells do it: a star stays within a folder.
const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Which files count, by their paths from the service's folder.
type Fits<'a> = &'a dyn Fn(&Path) -> bool;

/// The files that a service is made of, without its component: a build must never be the cause of the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Sources(BTreeMap<PathBuf, Stamp>);

/// A look at them.
#[derive(Debug, Default)]
pub(in crate::cli) struct Seen {
    pub(in crate::cli) sources: Sources,
    /// Where they lie, or may come to lie.
    pub(in crate::cli) folders: BTreeSet<PathBuf>,
    newest: Option<SystemTime>,
}

impl Seen {
    /// Looks at the sources of a service.
    pub(in crate::cli) fn of(build: &Build) -> Self {
        let mut seen = Self::default();
        seen.folders.insert(build.folder.clone());
        for watched in &build.watch {
            match watched {
                Watched::Path(path) => seen.add(build, path, true, &|_| true),
                Watched::Files {
                    base,
                    is_deep,
                    pattern,
                } => {
                    let fits = |path: &Path| pattern.matches_path_with(path, MATCH);
                    seen.add_folder(build, base, *is_deep, &fits);
                }
            }
        }
        seen
    }

    /// Whether the component is older than the sources, or not there at all.
    pub(in crate::cli) fn outdates(&self, component: &Path) -> bool {
        let made = fs::metadata(component).and_then(|metadata| metadata.modified());
        made.map_or(true, |made| self.newest.is_some_and(|newest| newest > made))
    }

    /// Adds a file, or a folder and all below it, named from the service's folder.
    fn add(&mut self, build: &Build, path: &Path, is_deep: bool, fits: Fits<'_>) {
        let whole = build.folder.join(path);
        match fs::metadata(&whole) {
            Ok(metadata) if metadata.is_dir() => self.add_folder(build, path, is_deep, fits),
            Ok(metadata) if whole != build.component && fits(path) => self.note(whole, &metadata),
            _ => {}
        }
    }

    fn add_folder(&mut self, build: &Build, path: &Path, is_deep: bool, fits: Fits<'_>) {
        let whole = build.folder.join(path);
        let is_source = !NO_SOURCES.iter().any(|name| path.ends_with(name));
        if let Ok(entries) = fs::read_dir(&whole)
            && is_source
        {
            self.folders.insert(whole);
            for entry in entries.flatten() {
                // Links to folders may go round in circles.
                let is_folder = entry.path().is_dir();
                let is_link = entry.file_type().is_ok_and(|found| found.is_symlink());
                let is_left_out = is_folder && (is_link || !is_deep);
                if !is_temporary(&entry.file_name()) && !is_left_out {
                    self.add(build, &path.join(entry.file_name()), is_deep, fits);
                }
            }
        }
    }

    fn note(&mut self, path: PathBuf, metadata: &Metadata) {
        self.newest = self.newest.max(metadata.modified().ok());
        self.sources.0.insert(path, Stamp::of(metadata));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::build;

    /// The files that count, of those in a service's folder.
    fn seen(watch: &str, files: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for file in files {
            fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            fs::write(at(file), "").unwrap();
        }
        let manifest = format!(
            "name = 'a'\ncomponent = 'out.wasm'\n[build]\ncommand = 'make'\nwatch = {watch}"
        );
        fs::write(at("service.toml"), manifest).unwrap();
        let build = build::load(&at("service.toml")).unwrap().unwrap();
        let found = Seen::of(&build).sources.0.into_keys();
        found
            .map(|path| {
                path.strip_prefix(folder.path())
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect()
    }

    #[test]
    fn files_folders_and_patterns_find_what_they_name() {
        let files = ["a.go", "b.py", "src/c.go", "src/deep/d.go", "src/e.rs"];
        for (watch, expected) in [
            ("['b.py', 'none']", &["b.py"][..]),
            ("'src'", &["src/c.go", "src/deep/d.go", "src/e.rs"]),
            ("'*.go'", &["a.go"]),
            ("'src/*.go'", &["src/c.go"]),
            ("'**/*.go'", &["a.go", "src/c.go", "src/deep/d.go"]),
            ("'src/*/*.go'", &["src/deep/d.go"]),
        ] {
            assert_eq!(seen(watch, &files), expected, "{watch}");
        }
    }

    #[test]
    fn what_builds_and_editors_write_is_no_source() {
        let files = [
            "out.wasm",
            "target/x",
            "src/target/x",
            "node_modules/x",
            ".git/x",
            "src/.a.rs.swp",
            "src/a.rs~",
            "src/a.rs",
        ];
        let found = seen("['.', 'target', 'out.wasm']", &files);
        assert_eq!(found, ["service.toml", "src/a.rs"]);
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        std::os::unix::fs::symlink("..", folder.path().join("src/up")).unwrap();
        let manifest = folder.path().join("service.toml");
        fs::write(
            &manifest,
            "name = 'a'\ncomponent = 'a.wasm'\n[build]\ncommand = 'make'",
        )
        .unwrap();
        let build = build::load(&manifest).unwrap().unwrap();
        assert_eq!(Seen::of(&build).sources, Sources::default());
    }
}
