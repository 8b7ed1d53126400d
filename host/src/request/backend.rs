//! What answers for a revision: a component's instances, servers elsewhere, or the files of a folder.

use std::fmt;
use std::sync::Arc;

use http::Request;

use self::files::{Disk, Files};
use self::upstream::Upstream;
use super::run::functions::Invocation;
use super::run::program::Program;
use crate::config::ConfigError;
use crate::config::service::target::Target;
use crate::fault::{Cause, Fault};

pub(crate) mod files;
mod held;
pub(super) mod upstream;

pub(super) use self::held::Holds;

/// What answers.
#[derive(Clone)]
pub(crate) enum Backend {
    /// Instances of a component.
    Component(Arc<Program>),
    /// Servers elsewhere.
    Upstream(Arc<Upstream>),
    /// Files.
    Files(Arc<Files>),
}

impl Backend {
    /// What answers for a target that is no component; None if it is one.
    ///
    /// # Errors
    /// When the authorities that its servers' certificates are of can't be read.
    pub(crate) fn of(target: &Target, disk: &Arc<Disk>) -> Result<Option<Self>, ConfigError> {
        Ok(match target {
            Target::Component(_) => None,
            Target::Upstream(upstream) => Some(Self::Upstream(Upstream::new(upstream)?)),
            Target::Files(files) => Some(Self::Files(Files::new(files.clone(), disk.clone()))),
        })
    }

    /// The program, of a component.
    pub(crate) fn program(&self) -> Option<&Arc<Program>> {
        match self {
            Self::Component(program) => Some(program),
            Self::Upstream(_) | Self::Files(_) => None,
        }
    }

    /// What `skep ls` calls it.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Component(program) => program.describe(),
            Self::Upstream(_) => "upstream",
            Self::Files(_) => "files",
        }
    }

    /// Whether the request is one that can be answered.
    ///
    /// # Errors
    /// [`Cause::NoRoute`] when it is not.
    pub(crate) fn takes<B>(&self, request: &Request<B>) -> Result<(), Fault> {
        match (self, Invocation::of(request)) {
            (Self::Component(program), _) => program.takes(request),
            (_, None) => Ok(()),
            (_, Some(_)) => Err(Fault::new(
                Cause::NoRoute,
                "what answers is no component and has no functions",
            )),
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}
