//! `skep new`: the sources of a service that can be built, served and changed at once.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use skep_policy::name::{NameError, ServiceName};

use super::{Failure, output_failed};

/// What stands for the service's name in the files.
const NAME: &str = "{{name}}";
/// What stands for the package's name.
const PACKAGE: &str = "{{package}}";

/// Files by their paths in the new folder. Cargo would take a Cargo.toml here for a package of its own.
const RUST: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("new/rust/Cargo.toml.in")),
    ("src/lib.rs", include_str!("new/rust/src/lib.rs.in")),
    ("service.toml", include_str!("new/rust/service.toml.in")),
    (".gitignore", include_str!("new/rust/gitignore.in")),
];

/// Names that a package can't have, or had better not, since Rust has them.
const RESERVED: [&str; 52] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "try",
    "type",
    "unsafe",
    "wasip2",
];

/// Arguments of `skep new`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the service is called; its folder, too
    name: String,
    /// The language that it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
}

/// Languages that there are sources of a service in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
}

/// Why no service was made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// No service can be called that.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is something of that name.
    #[error("{}: is there already: give the service another name, or remove it", folder.display())]
    Exists {
        /// What is there.
        folder: PathBuf,
    },
    /// The files can't be written.
    #[error("{}: can't be written: check the folder's permissions and the disk", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the folder and says what to do next.
///
/// # Errors
/// When the name is none, is taken, or the files can't be written.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let name = ServiceName::try_from(args.name.as_str()).map_err(NewError::from)?;
    let Language::Rust = args.lang;
    write(Path::new(name.as_str()), &name, &RUST)?;
    let said = writeln!(
        io::stdout(),
        "{name}/ has a service in Rust. Next:\n\n  skep build {name}\n  skep up {name} --watch"
    );
    said.map(|()| ExitCode::SUCCESS).or_else(output_failed)
}

fn write(folder: &Path, name: &ServiceName, files: &[(&str, &str)]) -> Result<(), NewError> {
    let failed = |path: &Path, source| NewError::Write {
        path: path.to_owned(),
        source,
    };
    // Never into a folder that is there, whoever makes it at the same time.
    fs::create_dir(folder).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => NewError::Exists {
            folder: folder.to_owned(),
        },
        _ => failed(folder, source),
    })?;
    for (file, text) in files {
        let path = folder.join(file);
        let text = text
            .replace(NAME, name.as_str())
            .replace(PACKAGE, &package(name));
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        parent
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| failed(&path, source))?;
    }
    Ok(())
}

/// The service's name, unless it is none for a package.
fn package(name: &ServiceName) -> String {
    let name = name.as_str();
    if RESERVED.contains(&name) || name.starts_with(|first: char| first.is_ascii_digit()) {
        format!("service-{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_names_that_cargo_takes() {
        for (name, expected) in [
            ("hello", "hello"),
            ("a-b", "a-b"),
            ("3d", "service-3d"),
            ("core", "service-core"),
            ("fn", "service-fn"),
        ] {
            assert_eq!(package(&ServiceName::try_from(name).unwrap()), expected);
        }
    }

    #[test]
    fn no_placeholder_is_left() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("hello");
        let name = ServiceName::try_from("hello").unwrap();
        write(&folder, &name, &RUST).unwrap();
        for (file, _) in RUST {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            assert!(!text.contains("{{"), "{file}: {text}");
        }
        let again = write(&folder, &name, &RUST);
        assert!(matches!(again, Err(NewError::Exists { .. })), "{again:?}");
    }
}
