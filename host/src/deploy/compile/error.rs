//! What can keep an artifact from being compiled, told to who deploys it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use skep_policy::{duration, size};

use super::artifact::{ARTIFACT_BYTES_MAX, Digest};
use super::refused::Reasons;
use crate::worker::Panicked;

/// An artifact was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The file can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// The artifact's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large; nothing was read.
    #[error(
        "the file has {bytes} bytes, and components of more than {} are not taken",
        size::show(ARTIFACT_BYTES_MAX)
    )]
    TooLarge {
        /// The file's length.
        bytes: u64,
    },
    /// The file no longer holds what was found; another look at it will find what it holds now.
    #[error("the file changed while it was deployed: it held {expected} and holds {found}")]
    Changed {
        /// What was to be compiled.
        expected: Digest,
        /// What was read.
        found: Digest,
    },
    /// The artifact is at fault.
    #[error(transparent)]
    Refused(RefusedByChild),
    /// The compiler ran out of the memory it may use.
    #[error(
        "compiling needed more than compile.memory, which is {}: raise it in skep.toml if this component is trusted",
        size::show(*limit)
    )]
    Memory {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The compiler ran out of time.
    #[error(
        "compiling took longer than compile.timeout, which is {}: raise it in skep.toml if this component is trusted",
        duration::show(*limit)
    )]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// Something killed the compiler.
    #[error("the compiler was killed from outside, perhaps because this machine ran out of memory")]
    Killed,
    /// The compiler crashed on this artifact.
    #[error("the compiler crashed on this component ({status}): {last_words}")]
    Crashed {
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        last_words: String,
    },
    /// The host is at fault, not the artifact.
    #[error("the host could not compile this component")]
    Host(#[from] Obstacle),
}

impl CompileError {
    /// Whether the artifact may be as good as any.
    #[must_use]
    pub fn is_by_host(&self) -> bool {
        matches!(self, Self::Host(_))
    }
}

/// What the host lacked.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// No child process.
    #[error("can't run the compiler")]
    Spawn {
        /// Why.
        source: io::Error,
    },
    /// The child met an obstacle of its own.
    #[error("the compiler failed")]
    Child {
        /// What the child said.
        source: RefusedByChild,
    },
    /// The image can't be kept.
    #[error("can't write to the cache of compiled components")]
    Cache {
        /// Why.
        source: io::Error,
    },
    /// An image that was just made is refused.
    #[error("the compiled component can't be loaded")]
    Load {
        /// The engine's reasons.
        source: Reasons,
    },
    /// The image was there and is gone.
    #[error("the compiled component vanished from the cache")]
    Vanished,
    /// A bug.
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// What the compile child said: the reason and its causes.
#[derive(Debug)]
pub struct RefusedByChild(Reasons);

impl RefusedByChild {
    pub(super) fn new(chain: Vec<String>) -> Self {
        Self(Reasons::new(chain))
    }
}

impl std::fmt::Display for RefusedByChild {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RefusedByChild {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
