//! How a service is made of its sources: `[build]` in its manifest, or cargo where its folder has a Cargo.toml.
//!
//! No part of a service's resolved configuration: a service has changed when what was built has.

use std::path::{Component, Path, PathBuf};

use glob::Pattern;
use skep_policy::name::ServiceName;
use skep_policy::quote::quoted;

use super::document::{Document, Scope};
use super::error::ConfigError;
use super::raw::{RawBuild, RawService};
use super::service::resolve::{Confined, component_path, name};
use super::service::{absolute, file_name, is_service_toml};
use super::units::{OneOrMore, RawCommand};

/// What is watched if nothing else is said, as far as it is there. Nothing that a build writes.
const WATCH_DEFAULT: [&str; 5] = ["src", "wit", "build.rs", "Cargo.toml", "package.json"];

/// How a service is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The service.
    pub name: ServiceName,
    /// The manifest's folder, where the command runs; absolute.
    pub folder: PathBuf,
    /// Where the component is to be; absolute.
    pub component: PathBuf,
    /// What makes it.
    pub how: How,
    /// What it is made of.
    pub watch: Vec<Watched>,
}

/// What makes a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Cargo, in release for wasm32-wasip2; what it made still has to be put in its place.
    Cargo,
    /// A line for the shell.
    Shell(String),
    /// A program and its arguments; never empty.
    Program(Vec<String>),
}

/// Sources, from the manifest's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// A file, or a folder and all below it.
    Path(PathBuf),
    /// The files that a pattern fits.
    Files {
        /// The folder, of those that the pattern names in full, that all of them lie in.
        base: PathBuf,
        /// They may lie in folders below it, too.
        is_deep: bool,
        /// The whole pattern.
        pattern: Pattern,
    },
}

/// Reads how the service that `manifest` describes is built: `None` if nothing says so.
///
/// # Errors
/// If the manifest can't be read or is wrong about its name, its component or `[build]`. The component may be missing.
pub fn load(manifest: &Path) -> Result<Option<Build>, ConfigError> {
    let document = Document::read(&absolute(manifest)?)?;
    let raw: RawService = document.decode()?;
    let scope = document.root();
    if raw.upstream.is_some() || raw.files.is_some() {
        return Ok(None);
    }
    let (command, watch) = resolve(raw.build.unwrap_or_default(), &scope.below(&["build"]))?;
    let folder = document.folder().to_owned();
    let has_crate = is_service_toml(document.path()) && folder.join("Cargo.toml").is_file();
    let Some(how) = command.or(has_crate.then_some(How::Cargo)) else {
        return Ok(None);
    };
    let default_name = file_name(document.path());
    let (_, component) = component_path(raw.component, &scope, Confined::ToFolder)?;
    Ok(Some(Build {
        name: name(raw.name.as_deref(), default_name.as_deref(), &scope)?,
        folder,
        component,
        how,
        watch,
    }))
}

/// Says what is wrong with a manifest's `[build]`, if it has one.
pub(super) fn check(
    raw: Option<RawBuild>,
    scope: &Scope<'_>,
    confined: Confined,
) -> Result<(), ConfigError> {
    match raw {
        None => Ok(()),
        Some(_) if confined == Confined::Nowhere => {
            let what = "is for drop-ins: give the service a folder of its own with a service.toml";
            Err(scope.error(&["build"], what))
        }
        Some(raw) => resolve(raw, &scope.below(&["build"])).map(drop),
    }
}

fn resolve(raw: RawBuild, scope: &Scope<'_>) -> Result<(Option<How>, Vec<Watched>), ConfigError> {
    let how = match raw.command {
        None => None,
        Some(RawCommand::Shell(line)) => {
            let is_empty = line.trim().is_empty();
            Some((How::Shell(line.clone()), is_empty || line.contains('\0')))
        }
        Some(RawCommand::Program(words)) => {
            let is_empty = words.first().is_none_or(String::is_empty);
            let is_wrong = is_empty || words.iter().any(|word| word.contains('\0'));
            Some((How::Program(words), is_wrong))
        }
    };
    if let Some((_, true)) = how {
        let what = "is no command: write a line for the shell, or [\"program\", \"argument\"]";
        return Err(scope.error(&["command"], what));
    }
    let watch = match raw.watch {
        Some(OneOrMore(given)) => given
            .iter()
            .enumerate()
            .map(|(i, text)| {
                watched(text).map_err(|what| scope.error(&["watch", &i.to_string()], what))
            })
            .collect::<Result<_, _>>()?,
        None => WATCH_DEFAULT.map(|name| Watched::Path(name.into())).into(),
    };
    Ok((how.map(|(how, _)| how), watch))
}

fn watched(text: &str) -> Result<Watched, String> {
    if text.is_empty() || text.contains('\0') {
        return Err(
            "is no path: name a file, a folder or a pattern such as \"src/**/*.ts\"".into(),
        );
    }
    let is_pattern =
        |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let mut parts = Path::new(text).components().peekable();
    let mut base = PathBuf::new();
    while let Some(part) = parts.next_if(|part| !is_pattern(part)) {
        base.push(part);
    }
    if parts.peek().is_none() {
        return Ok(Watched::Path(base));
    }
    let is_deep = parts.count() > 1 || text.contains("**");
    let pattern = Pattern::new(text)
        .map_err(|error| format!("{} is no pattern: {}", quoted(text), error.msg))?;
    Ok(Watched::Files {
        base,
        is_deep,
        pattern,
    })
}
