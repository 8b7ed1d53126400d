//! What keeps a file from being deployed before it is compiled.

use std::fmt;
use std::io;
use std::path::PathBuf;

use skep_policy::size;

use super::whole::Extent;
use crate::config::ConfigError;
use crate::deploy::compile::ARTIFACT_BYTES_MAX;

/// Something that was dropped in, or the place for it, can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum ArriveError {
    /// A manifest or a name that is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file without read permission, on a failing disk, and so on.
    #[error("{}: can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that something else than a file has.
    #[error("{}: is {what}, not a file: remove it or give it another name", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is, with its article.
        what: &'static str,
    },
    /// A symlink to nothing.
    #[error("{}: is a symbolic link to a file that does not exist", path.display())]
    Dangling {
        /// The link.
        path: PathBuf,
    },
    /// A component that stopped arriving.
    #[error("{}: {extent}: is it still being copied? If not, copy or build it again", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// Where it ends.
        extent: Cut,
    },
    /// A file that no component has the size of.
    #[error("{}: has {bytes} bytes, and components of more than {} are not taken", path.display(), size::show(ARTIFACT_BYTES_MAX))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Several files that say they are the same service.
    #[error(
        "{} claim to be service {name}: remove one, or give it another name",
        listed(origins)
    )]
    Duplicate {
        /// The service.
        name: String,
        /// The files.
        origins: Vec<PathBuf>,
    },
    /// The folder of drop-ins is not there; what runs goes on running.
    #[error("{}: the folder of services can't be read: what runs goes on running until it can", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a binary ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut(Extent);

impl From<Extent> for Cut {
    fn from(extent: Extent) -> Self {
        Self(extent)
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Extent::Whole => f.write_str("is whole"),
            Extent::Empty => f.write_str("is empty"),
            Extent::CutInHeader => f.write_str("ends in the middle of the header"),
            Extent::CutInSection(section) => write!(f, "ends in the middle of section {section}"),
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(" and ")
}

/// An error and its causes on one line, for telling whether it is still the same.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
