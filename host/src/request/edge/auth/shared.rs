//! What verifies outlives revisions: routes that are configured alike share it, whatever was deployed in between.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::Handle;

use super::cache::Secret;
use super::hashing::Hashing;
use super::jwks::{KEY_SETS, KeySet};
use super::keys::Keys;
use super::passwords::{Listed, Passwords, Source, USERS};
use super::tokens::Tokens;
use super::watched::{HttpClient, Watched};
use crate::config::edge::{ApiKeys, Basic, Jwt, KeySource, Location};
use crate::https;

const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long users are good for whose file can't be read.
const USERS_STALE: Duration = Duration::from_secs(24 * 3600);

/// What verifies who sent requests, by its configuration.
pub(crate) struct Identities {
    control: Handle,
    client: HttpClient,
    secret: Secret,
    hashing: OnceLock<Option<Arc<Hashing>>>,
    key_sets: Alike<KeySource, Watched<KeySet>>,
    tokens: Alike<Jwt, Tokens>,
    passwords: Alike<Basic, Passwords>,
    keys: Alike<ApiKeys, Keys>,
}

impl Identities {
    /// Nothing yet; looks at files and URLs run on `control`.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn new(control: Handle) -> anyhow::Result<Arc<Self>> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
            .build(https::connector(None));
        Ok(Arc::new(Self {
            control,
            client,
            secret: Secret::new()?,
            hashing: OnceLock::new(),
            key_sets: Alike::default(),
            tokens: Alike::default(),
            passwords: Alike::default(),
            keys: Alike::default(),
        }))
    }

    pub(super) fn tokens(&self, settings: &Jwt) -> Arc<Tokens> {
        self.tokens.get(settings, || {
            let keys = self.key_sets.get(&settings.keys, || {
                Watched::start(&settings.keys, KEY_SETS, &self.client, &self.control)
            });
            Tokens::new(settings, keys, &self.secret)
        })
    }

    pub(super) fn passwords(&self, settings: &Basic) -> Arc<Passwords> {
        self.passwords.get(settings, || {
            let source = match settings {
                Basic::Listed(users) => Source::Fixed(Arc::new(Listed::new(users.clone()))),
                Basic::File(path) => {
                    let source = KeySource {
                        location: Location::File(path.clone()),
                        refresh: Duration::ZERO,
                        cooldown: Duration::ZERO,
                        stale: USERS_STALE,
                    };
                    let watched = Watched::start(&source, USERS, &self.client, &self.control);
                    Source::Watched(watched)
                }
            };
            Passwords::new(source, &self.secret, self.hashing())
        })
    }

    pub(super) fn keys(&self, settings: &ApiKeys) -> Arc<Keys> {
        self.keys.get(settings, || Keys::new(settings))
    }

    /// The threads that hash, once there are passwords; None if the system has none to give.
    fn hashing(&self) -> Option<Arc<Hashing>> {
        let start = || match Hashing::start() {
            Ok(hashing) => Some(Arc::new(hashing)),
            Err(error) => {
                tracing::error!(%error, "no passwords can be verified: no thread could be started");
                None
            }
        };
        self.hashing.get_or_init(start).clone()
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identities(…)")
    }
}

/// One value for all who are configured alike, for as long as one of them has it.
struct Alike<K, V>(Mutex<Vec<(K, Weak<V>)>>);

impl<K, V> Default for Alike<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + PartialEq, V> Alike<K, V> {
    fn get(&self, settings: &K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, value)| value.strong_count() > 0);
        let same = all.iter().find(|(key, _)| key == settings);
        if let Some(value) = same.and_then(|(_, value)| value.upgrade()) {
            return value;
        }
        let value = Arc::new(make());
        all.push((settings.clone(), Arc::downgrade(&value)));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretDigest;

    #[tokio::test]
    async fn routes_that_are_configured_alike_share_their_keys_for_as_long_as_one_has_them() {
        let identities = Identities::new(Handle::current()).unwrap();
        let settings = |holder: &str| ApiKeys {
            header: "x-api-key".to_owned(),
            keys: [(SecretDigest::of(b"key"), holder.to_owned())].into(),
        };
        let keys = identities.keys(&settings("alice"));
        assert!(Arc::ptr_eq(&keys, &identities.keys(&settings("alice"))));
        assert!(!Arc::ptr_eq(&keys, &identities.keys(&settings("bob"))));
        let last = Arc::downgrade(&keys);
        drop(keys);
        assert!(last.upgrade().is_none());
    }
}
