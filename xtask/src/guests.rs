//! Guests: built by cargo in their own workspace, gathered under target/guests, copied to the examples that
//! drop them in.
//!
//! A package with `src/main.rs` is a program for CGI, one with `src/lib.rs` a component; those in guests/shop belong to
//! examples/shop, the others to examples/hello. The files under guests/faults and guests/probes are examples of
//! guests/Cargo.toml, each a component of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::command::{self, cargo, root};
use crate::setup::{self, COMPONENT_TARGET, PROGRAM_TARGET};

/// Folders of single-file guests.
const SINGLE_FILES: [&str; 2] = ["faults", "probes"];
/// Folders of packages below guests, and the examples whose drop-ins they are.
const SHOWCASES: [(&str, &str); 2] = [("", "examples/hello"), ("shop", "examples/shop")];

/// Builds all guests and prints what was gathered, a line each: path and size.
pub(crate) fn run() -> anyhow::Result<()> {
    for guest in build()? {
        let size = fs::metadata(&guest)?.len();
        let shown = guest
            .strip_prefix(root())
            .unwrap_or(&guest)
            .display()
            .to_string();
        println!("{shown:<48} {:>8.1} KiB", size as f64 / 1024.0);
    }
    Ok(())
}

/// Builds all guests that changed, with the targets they need; answers every guest's path under target/guests.
pub(crate) fn build() -> anyhow::Result<Vec<PathBuf>> {
    setup::run()?;
    command::run(&mut cargo_for("build", COMPONENT_TARGET)?)?;
    command::run(&mut cargo_for("build", PROGRAM_TARGET)?)?;

    let gathered = root().join("target/guests");
    let mut guests = Vec::new();
    let packages = Packages::list()?;
    for (names, target) in [
        (&packages.components, COMPONENT_TARGET),
        (&packages.programs, PROGRAM_TARGET),
    ] {
        for (folder, example, name) in names {
            let built = built(target).join(name.replace('-', "_") + ".wasm");
            let guest = gathered.join(folder).join(name).with_extension("wasm");
            let drop_in = root().join(example).join(name).with_extension("wasm");
            copy_if_changed(&built, &guest)?;
            copy_if_changed(&built, &drop_in)?;
            guests.push(guest);
        }
    }
    for folder in SINGLE_FILES {
        guests.extend(gather_single_files(folder, &gathered.join(folder))?);
    }
    Ok(guests)
}

/// `cargo build` or `cargo clippy` of all guests for one of the targets, as they are shipped.
pub(crate) fn cargo_for(verb: &str, target: &str) -> anyhow::Result<Command> {
    let mut command = cargo(
        "guests",
        [verb, "--release", "--locked", "--target", target],
    );
    let (what, flag): (&[_], _) = if target == PROGRAM_TARGET {
        (&["--bins"], "--package")
    } else {
        (&["--workspace", "--lib", "--examples"], "--exclude")
    };
    command.args(what);
    for (_, _, name) in Packages::list()?.programs {
        command.args([flag, &name]);
    }
    Ok(command)
}

/// Stems of the files in `directory` that end in `.extension`; none if there is no such directory.
pub(crate) fn stems(directory: &Path, extension: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut stems = BTreeSet::new();
    if !directory.exists() {
        return Ok(stems);
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(stem) = path.file_stem()
        {
            stems.insert(stem.to_string_lossy().into_owned());
        }
    }
    Ok(stems)
}

/// Copies what was built of guests/FOLDER and removes what is no longer there.
fn gather_single_files(folder: &str, to: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut guests = Vec::new();
    let names = stems(&root().join("guests").join(folder), "rs")?;
    for name in &names {
        let built = built(COMPONENT_TARGET)
            .join("examples")
            .join(name)
            .with_extension("wasm");
        let guest = to.join(name).with_extension("wasm");
        copy_if_changed(&built, &guest).with_context(|| {
            format!("is guests/{folder}/{name}.rs listed in guests/Cargo.toml?")
        })?;
        guests.push(guest);
    }
    for stale in stems(to, "wasm")?.difference(&names) {
        fs::remove_file(to.join(stale).with_extension("wasm"))?;
    }
    Ok(guests)
}

/// Where cargo leaves what it built for a target.
fn built(target: &str) -> PathBuf {
    root().join("guests/target").join(target).join("release")
}

/// A package: its folder below guests, the example that it belongs to, and its name, which is its own folder's.
type Package = (&'static str, &'static str, String);

/// The packages in the guests' workspace.
struct Packages {
    components: BTreeSet<Package>,
    programs: BTreeSet<Package>,
}

impl Packages {
    fn list() -> anyhow::Result<Self> {
        let mut components = BTreeSet::new();
        let mut programs = BTreeSet::new();
        for (folder, example) in SHOWCASES {
            for entry in fs::read_dir(root().join("guests").join(folder))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let package = (folder, example, name);
                if entry.path().join("src/main.rs").exists() {
                    programs.insert(package);
                } else if entry.path().join("src/lib.rs").exists() {
                    components.insert(package);
                }
            }
        }
        Ok(Self {
            components,
            programs,
        })
    }
}

/// A host that watches the folder of `to` sees either the old file or the whole new one.
fn copy_if_changed(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(from).with_context(|| format!("{} was not built", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    let partial = to.with_extension("partial");
    fs::write(&partial, bytes)?;
    fs::rename(&partial, to).with_context(|| format!("could not write {}", to.display()))
}
