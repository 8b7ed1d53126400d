//! Users and passwords: hashed once, and known for a while.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use skep_policy::identity::pair;
use tokio::time::{Instant, timeout_at};

use super::Denied;
use super::cache::{Bulky, Mark, Secret, Seen, seen};
use super::hashing::{Full, Hashing};
use super::watched::{Kind, Watched};
use crate::config::edge::{Users, htpasswd};
use crate::request::identity::{Identity, Scheme};

const FILE_BYTES_MAX: usize = 2 << 20;
/// What bcrypt looks at of a password, in bytes. What is longer is refused: its end would not matter.
const PASSWORD_BYTES_MAX: usize = 71;
const PAIR_BYTES_MAX: usize = 1024;
/// How long a password is known that was right.
const KNOWN_FOR: Duration = Duration::from_secs(300);
const SEEN_BYTES_MAX: u64 = 4 << 20;
const SEEN_ITEMS: usize = 4096;
const SEEN_BYTES: u64 = 512;

pub(super) const USERS: Kind<Listed> = Kind {
    what: "users and their passwords",
    bytes_max: FILE_BYTES_MAX,
    read: Listed::read,
};

/// Users, and what anybody else's password is compared with.
#[derive(PartialEq, Eq)]
pub(super) struct Listed {
    users: Users,
    nobody: String,
}

impl Listed {
    pub(super) fn new(users: Users) -> Self {
        let cost = users.values().map(|user| user.cost).max().unwrap_or(10);
        // Of nothing: 16 bytes of salt and 23 of a hash, all zero.
        let nobody = format!("$2b${cost:02}${}", ".".repeat(53));
        Self { users, nobody }
    }

    fn read(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned())?;
        htpasswd(text).map(Self::new)
    }
}

/// Where users are listed.
pub(super) enum Source {
    Fixed(Arc<Listed>),
    Watched(Watched<Listed>),
}

/// What verifies passwords by one configuration.
pub(super) struct Passwords {
    source: Source,
    secret: Secret,
    seen: Seen<Known>,
    hashing: Option<Arc<Hashing>>,
}

/// A password that was right.
#[derive(Clone)]
struct Known {
    identity: Arc<Identity>,
    /// That of the users among whom it was right.
    version: u64,
    until: Instant,
}

impl Bulky for Known {
    fn bytes(&self) -> u64 {
        SEEN_BYTES
    }
}

impl Passwords {
    pub(super) fn new(source: Source, secret: &Secret, hashing: Option<Arc<Hashing>>) -> Self {
        Self {
            source,
            secret: secret.clone(),
            seen: seen(SEEN_BYTES_MAX, SEEN_ITEMS),
            hashing,
        }
    }

    /// Whose user and password these are, encoded as they are sent.
    pub(super) async fn verify(
        &self,
        encoded: &[u8],
        until: Instant,
    ) -> Result<Arc<Identity>, Denied> {
        let wrong = || Denied::wrong("the user or the password is wrong");
        if encoded.len() > PAIR_BYTES_MAX {
            return Err(Denied::wrong("user and password are too long"));
        }
        let decoded = BASE64_STANDARD.decode(encoded).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let (user, password) = decoded
            .as_deref()
            .and_then(pair)
            .ok_or_else(|| Denied::wrong("user and password are malformed"))?;
        let (listed, version) = self.listed(until).await?;
        let mark = self.secret.mark(&[user.as_bytes(), password.as_bytes()]);
        if let Some(identity) = self.known(&mark, version) {
            return Ok(identity);
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(wrong());
        }
        let found = listed.users.get(user);
        let hash = found.map_or(&listed.nobody, |user| &user.hash);
        let busy = || Denied::Unknown("too many passwords wait to be verified".to_owned());
        let hashing = self.hashing.as_ref().ok_or_else(busy)?;
        let fits = timeout_at(until, hashing.verify(password.as_bytes(), hash)).await;
        let late = || Denied::Unknown("the password was not verified in time".to_owned());
        let fits = fits.map_err(|_| late())?.map_err(|Full| busy())?;
        if !fits || found.is_none() {
            return Err(wrong());
        }
        let identity = Identity::new(Scheme::Basic, user).ok_or_else(wrong)?;
        let known = Known {
            identity: Arc::new(identity),
            version,
            until: Instant::now() + KNOWN_FOR,
        };
        self.seen.insert(mark, known.clone());
        Ok(known.identity)
    }

    async fn listed(&self, until: Instant) -> Result<(Arc<Listed>, u64), Denied> {
        match &self.source {
            Source::Fixed(listed) => Ok((listed.clone(), 0)),
            Source::Watched(watched) => {
                let unknown = || Denied::Unknown("the users are not known".to_owned());
                let loaded = watched.get(until).await.ok_or_else(unknown)?;
                Ok((loaded.value.clone(), loaded.version))
            }
        }
    }

    fn known(&self, mark: &Mark, version: u64) -> Option<Arc<Identity>> {
        let known = self.seen.get(mark)?;
        if known.version == version && Instant::now() < known.until {
            return Some(known.identity);
        }
        self.seen.remove(mark);
        None
    }
}
