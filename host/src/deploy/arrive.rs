//! Files to deployments: what is in the folder of drop-ins, or listed, and what changes there.
//!
//! Looks at files and never parses a component; takes nothing that may still be on its way. A file that is
//! wrong spoils its own service only, and a place that can't be read spoils none: what runs goes on running.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{HostConfig, Pool, ServiceConfig, Source};
use crate::deploy::compile::Artifact;

mod awaited;
mod changes;
mod diff;
mod doorbell;
mod dropin;
mod error;
mod look;
mod scan;
mod stamp;
mod trail;
mod watch;
mod whole;

pub use awaited::Awaited;
pub use changes::{Changes, Hush};
pub use dropin::{DropIns, default_name, is_temporary};
pub use error::{ArriveError, Cut};
pub use scan::{Found, Scan, Scanner};
pub(crate) use stamp::Rest;
pub use stamp::{Now, Stamp};
pub use trail::Directories;
pub use watch::Watch;

const COMPLETE_MS: u64 = 2;
const QUIET_MS: u64 = 100;
const SETTLE_MS: u64 = 2_000;
const RESCAN_MS: u64 = 5_000;

const _: () = assert!(COMPLETE_MS < QUIET_MS && QUIET_MS < SETTLE_MS && SETTLE_MS < RESCAN_MS);

/// Where services come from.
#[derive(Debug, Clone)]
pub struct Intake {
    source: Source,
    folder: Option<PathBuf>,
    pool: Pool,
    /// Whether components need signatures.
    is_wary: bool,
    /// Components that somebody is about to put in their places.
    pub awaited: Awaited,
}

impl Intake {
    /// As configured.
    #[must_use]
    pub fn of(config: &HostConfig) -> Self {
        Self {
            source: config.source.clone(),
            folder: config.services.clone(),
            pool: config.pool.clone(),
            is_wary: !config.trust.is_blind(),
            awaited: Awaited::default(),
        }
    }

    /// The folder of drop-ins, if there is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The manifests of the drop-ins that are there; none while their folder can't be read.
    #[must_use]
    pub fn manifests(&self) -> Vec<PathBuf> {
        if let Source::Service(manifest) = &self.source {
            return vec![manifest.clone()];
        }
        let listed = self.folder.as_deref().map(DropIns::list);
        listed.and_then(Result::ok).unwrap_or_default().manifests
    }
}

/// How patient to be with files.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Files whose writers are done with them are taken once nothing has happened for this long, so that those which
    /// one command puts there are taken together.
    pub complete: Duration,
    /// Any other file is taken once it has not changed for this long.
    pub quiet: Duration,
    /// A file that is still cut short when it has not changed for this long is reported as broken.
    pub settle: Duration,
    /// Everything is looked at again at least this often, whatever the system tells of changes.
    pub rescan: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            complete: Duration::from_millis(COMPLETE_MS),
            quiet: Duration::from_millis(QUIET_MS),
            settle: Duration::from_millis(SETTLE_MS),
            rescan: Duration::from_millis(RESCAN_MS),
        }
    }
}

/// A service as its files describe it, ready to be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, routes, limits and permissions.
    pub config: ServiceConfig,
    /// Its component, as it was when it was looked at, or what stands for what is none.
    pub artifact: Artifact,
    /// Who vouches for the component: what [`crate::config::trust::Trust::check`] takes, if there is any and the host looks
    /// at it.
    pub signature: Option<String>,
}

/// What happened to a service's files.
#[derive(Debug)]
pub enum Change {
    /// There is something to deploy: it is new, it differs from before, or it is sound again after
    /// [`Change::Broken`] (and then possibly what is running already).
    Upsert(Box<Candidate>),
    /// The files are gone: retire the service, or forget its error.
    Remove(String),
    /// The files can't be deployed; what runs goes on running. The service's name, as far as it can be told, and
    /// what is wrong.
    Broken(String, Box<ArriveError>),
}

/// Changes that were found in one look and are to be deployed together.
#[derive(Debug)]
pub struct Batch {
    /// In the order of the services' names; at most one for each.
    pub changes: Vec<Change>,
    /// No file is awaited any more: everything that was there has been told of. True of some batch soon after
    /// the start, also of an empty folder.
    pub settled: bool,
}
