//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

use skep_policy::quote::quoted;

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1; `None` if the fault is in what the file doesn't say.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

/// A configuration that can't be used. The display says where, what and what to do; causes are in `source`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or folder that isn't there.
    #[error("{}: does not exist: {fix}", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
        /// What to do about it.
        fix: String,
    },
    /// A file that can't be read.
    #[error("{}: can't be read: check its permissions and that it is a file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file larger than a configuration can sensibly be.
    #[error("{}: is larger than {max} bytes: is it a configuration file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        max: u64,
    },
    /// A file that isn't text.
    #[error("{at}: is not UTF-8 text: save the file as UTF-8")]
    NotUtf8 {
        /// The first line that isn't.
        at: Place,
    },
    /// A service whose component isn't there.
    #[error(
        "{at}: component {} does not exist (looked for {}): build it, or correct `component`",
        quoted(component), path.display()
    )]
    NoComponent {
        /// The key, or the manifest if it has none.
        at: Place,
        /// As the manifest says it.
        component: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Anything wrong with what a file says: its syntax, a key, a type or a value.
    #[error("{at}: {what}")]
    Invalid {
        /// Where.
        at: Place,
        /// What is wrong and what to do about it.
        what: String,
    },
    /// Something wrong with a flag, or with how flags and files go together.
    #[error("{0}")]
    Flag(String),
    /// A service that wants larger instances than the pool has.
    #[error(
        "service {service}: limits.memory is {memory}, but the pool's instances have at most {max}: \
         lower limits.memory, or raise pool.memory_max in skep.toml"
    )]
    Pool {
        /// The service's name.
        service: String,
        /// What it wants, with unit.
        memory: String,
        /// What the pool has, with unit.
        max: String,
    },
}
