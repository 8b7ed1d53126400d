//! What the database holds, as the rest of the host sees it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use skep_policy::name::ServiceName;

use crate::config::ServiceConfig;
use crate::deploy::compile::Digest;

/// One service, whole: a row is replaced, never edited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredService {
    /// Its name.
    pub name: ServiceName,
    /// The revision that answers; None if it has been removed.
    pub current: Option<u64>,
    /// What is on its way to take that one's place.
    pub rollout: Option<StoredRollout>,
    /// The highest number that a revision of it has had.
    pub last_number: u64,
    /// Changes with every change of the service.
    pub generation: u64,
    /// What its files described when they were last taken, as a digest; None if it does not come from files.
    pub files: Option<Digest>,
}

impl StoredService {
    /// A service that nothing has been deployed of.
    #[must_use]
    pub fn new(name: ServiceName) -> Self {
        Self {
            name,
            current: None,
            rollout: None,
            last_number: 0,
            generation: 0,
            files: None,
        }
    }
}

/// A rollout that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRollout {
    /// The revision that it is about.
    pub candidate: u64,
    /// How far it is, as `skep_policy::rollout` saves it, in JSON.
    pub saved: String,
}

/// A revision that can be had again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRevision {
    /// Its number.
    pub number: u64,
    /// Its component.
    pub digest: Digest,
    /// Its configuration.
    pub config: ServiceConfig,
    /// Where it came from.
    pub origin: Origin,
}

/// Who brought a deployment, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name of a token, `anonymous`, or `files`.
    pub actor: String,
    /// A path, what the client said, or what the host did it for.
    pub source: String,
}

impl Origin {
    /// A drop-in or an entry of a `skep.toml`.
    #[must_use]
    pub fn files(config: &ServiceConfig) -> Self {
        Self {
            actor: "files".to_owned(),
            source: config.target.to_string(),
        }
    }

    /// The host itself.
    #[must_use]
    pub fn host(why: &str) -> Self {
        Self {
            actor: "host".to_owned(),
            source: why.to_owned(),
        }
    }
}

/// What happened to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A candidate arrived.
    Deploying,
    /// It goes through a stage: the detail says which.
    Stage,
    /// It became the running revision.
    Promoted,
    /// It did not become a revision.
    Refused,
    /// It has begun to take requests.
    RolloutBegun,
    /// It takes more of them.
    RolloutStep,
    /// An operator holds a rollout.
    RolloutPaused,
    /// An operator lets it go on.
    RolloutResumed,
    /// It takes none any more, and the running revision goes on.
    RolloutAborted,
    /// An older revision answers again.
    RolledBack,
    /// The last request and the last instance of a revision are gone.
    Retired,
    /// The service is gone.
    Removed,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Deploying,
        Self::Stage,
        Self::Promoted,
        Self::Refused,
        Self::RolloutBegun,
        Self::RolloutStep,
        Self::RolloutPaused,
        Self::RolloutResumed,
        Self::RolloutAborted,
        Self::RolledBack,
        Self::Retired,
        Self::Removed,
    ];

    /// The word in the API and the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploying => "deploying",
            Self::Stage => "stage",
            Self::Promoted => "promoted",
            Self::Refused => "refused",
            Self::RolloutBegun => "rollout_begun",
            Self::RolloutStep => "rollout_step",
            Self::RolloutPaused => "rollout_paused",
            Self::RolloutResumed => "rollout_resumed",
            Self::RolloutAborted => "rollout_aborted",
            Self::RolledBack => "rolled_back",
            Self::Retired => "retired",
            Self::Removed => "removed",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that happened to a service, before it has a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// The service, or the file whose service is not known.
    pub service: String,
    /// What happened.
    pub kind: Kind,
    /// The revision that it happened to.
    pub revision: Option<u64>,
    /// The artifact.
    pub digest: Option<String>,
    /// Who and from where.
    pub origin: Option<Origin>,
    /// Why, or what else there is to say.
    pub detail: Option<String>,
}

impl Happening {
    /// Something that happened to a service.
    #[must_use]
    pub fn new(service: &str, kind: Kind) -> Self {
        Self {
            service: service.to_owned(),
            kind,
            revision: None,
            digest: None,
            origin: None,
            detail: None,
        }
    }

    /// The same of a revision.
    #[must_use]
    pub fn of(self, number: u64, digest: &str) -> Self {
        Self {
            revision: Some(number),
            digest: Some(digest.to_owned()),
            ..self
        }
    }

    /// The same, brought by somebody.
    #[must_use]
    pub fn by(self, origin: &Origin) -> Self {
        Self {
            origin: Some(origin.clone()),
            ..self
        }
    }

    /// The same with more to say.
    #[must_use]
    pub fn because(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Grows with every event that is kept; None for one that isn't.
    pub id: Option<i64>,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The service, or the file whose service is not known.
    pub service: String,
    /// What happened.
    pub kind: Kind,
    /// The revision that it happened to.
    pub revision: Option<u64>,
    /// Its artifact.
    pub digest: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
    /// Why, or what else there is to say.
    pub detail: Option<String>,
}

impl Event {
    pub(super) fn new(id: Option<i64>, happening: Happening) -> Self {
        let (actor, source) = happening
            .origin
            .map(|origin| (origin.actor, origin.source))
            .unzip();
        Self {
            id,
            at_unix_ms: now_unix_ms(),
            service: happening.service,
            kind: happening.kind,
            revision: happening.revision,
            digest: happening.digest,
            actor,
            source,
            detail: happening.detail,
        }
    }

    pub(super) fn passing(happening: Happening) -> Self {
        Self::new(None, happening)
    }
}

/// One request to the admin API that changed something or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The name of the token, or `anonymous`.
    pub actor: String,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What it was answered with.
    pub status: u16,
}

/// All that changes at once.
#[derive(Debug, Default)]
pub struct Commit {
    /// Revisions that are new.
    pub revisions: Vec<(ServiceName, StoredRevision)>,
    /// Services as they are from now on, each with how many of its revisions are kept beside the live ones.
    pub services: Vec<(StoredService, usize)>,
    /// What is to be remembered of it.
    pub happenings: Vec<Happening>,
}

/// Milliseconds since 1970. A clock that is set back makes two events seem out of order; their ids are not.
#[must_use]
pub(crate) fn now_unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
