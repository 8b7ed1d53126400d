//! Tokens: verified once, and known until they expire or the issuer's keys change.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{HeaderName, HeaderValue};
use skep_policy::identity::{
    self, Claims, Head, Refused, TOKEN_BYTES_MAX, Verified, check, find, tell,
};
use tokio::time::Instant;

use super::cache::{Bulky, Mark, Secret, Seen, seen};
use super::jwks::KeySet;
use super::watched::{Loaded, Watched};
use super::{Denied, header_name};
use crate::config::edge::Jwt;
use crate::request::identity::{Identity, Scheme};

/// Memory for the tokens of one configuration.
const SEEN_BYTES_MAX: u64 = 32 << 20;
const SEEN_ITEMS: usize = 8192;
/// What a token takes that was verified: a multiple of its own bytes, and some.
const BYTES_PER_BYTE: u64 = 4;
const BYTES_BESIDE: u64 = 512;

/// What verifies tokens by one configuration.
pub(super) struct Tokens {
    settings: Jwt,
    /// The header that has the token.
    pub(super) header: HeaderName,
    keys: Arc<Watched<KeySet>>,
    secret: Secret,
    seen: Seen<Arc<Known>>,
}

/// A token that was verified.
struct Known {
    identity: Arc<Identity>,
    /// That of the keys it was verified with.
    version: u64,
    /// When it stops to hold, since 1970.
    until: Duration,
    bytes: u64,
}

impl Bulky for Arc<Known> {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Tokens {
    pub(super) fn new(settings: &Jwt, keys: Arc<Watched<KeySet>>, secret: &Secret) -> Self {
        Self {
            settings: settings.clone(),
            header: header_name(&settings.header),
            keys,
            secret: secret.clone(),
            seen: seen(SEEN_BYTES_MAX, SEEN_ITEMS),
        }
    }

    /// The cookie that has the token where the header does not.
    pub(super) fn cookie(&self) -> Option<&str> {
        self.settings.cookie.as_deref()
    }

    /// Whose a token is. Waits for the issuer's keys only if the token needs some that are not there, until then.
    pub(super) async fn verify(
        &self,
        token: &[u8],
        until: Instant,
    ) -> Result<Arc<Identity>, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Denied::token(&Refused::TooLong));
        }
        let mark = self.secret.mark(&[token]);
        if let Some(known) = self.seen.get(&mark)
            && Some(known.version) == self.keys.version()
        {
            return match since_1970() < known.until {
                true => Ok(known.identity.clone()),
                false => Err(Denied::token(&Refused::Expired)),
            };
        }
        // On the heap, so that requests whose token is known are no larger for it.
        Box::pin(self.look(token, mark, until)).await
    }

    /// The same of a token that is not known.
    async fn look(
        &self,
        token: &[u8],
        mark: Mark,
        until: Instant,
    ) -> Result<Arc<Identity>, Denied> {
        let unknown = || Denied::Unknown("the issuer's keys are not known".to_owned());
        let keys = self.keys.get(until).await.ok_or_else(unknown)?;
        let now = since_1970();
        let known = match self.read(token, &keys, now) {
            // A token need not say which key it is of.
            Err(Refused::UnknownKey(_) | Refused::Signature) if self.keys.renewed(until).await => {
                let keys = self.keys.current().ok_or_else(unknown)?;
                self.read(token, &keys, now)
            }
            known => known,
        };
        let known = Arc::new(known.map_err(|refused| Denied::token(&refused))?);
        self.seen.insert(mark, known.clone());
        Ok(known.identity.clone())
    }

    fn read(&self, token: &[u8], keys: &Loaded<KeySet>, now: Duration) -> Result<Known, Refused> {
        let parts = identity::parts(token)?;
        let decode = |part: &str, what| {
            let decoded = BASE64_URL_SAFE_NO_PAD.decode(part);
            decoded.map_err(|_| Refused::Malformed(what))
        };
        let head = Head::read(&decode(parts.head, "its head")?)?;
        let places = head.candidates(keys.value.described(), &self.settings.algorithms)?;
        let signature = decode(parts.signature, "its signature")?;
        let signed = parts.signed.as_bytes();
        if !keys.value.verify(&places, signed, &signature) {
            return Err(Refused::Signature);
        }
        let claims = decode(parts.claims, "its claims")?;
        let claims: Claims =
            serde_json::from_slice(&claims).map_err(|_| Refused::Malformed("its claims"))?;
        let Verified { identity, until } = check(&claims, &self.settings.rules, now)?;
        let told = self.told(&claims)?;
        let untold = || Refused::Untold(self.settings.rules.identity.clone());
        let identity = Identity::new(Scheme::Jwt, &identity).ok_or_else(untold)?;
        Ok(Known {
            identity: Arc::new(identity.with_claims(claims, told).until(until)),
            version: keys.version,
            until,
            bytes: token.len() as u64 * BYTES_PER_BYTE + BYTES_BESIDE,
        })
    }

    /// The headers that say claims. A claim that is not there has none; one that no header can say refuses the token, since
    /// a service might take its absence for something else.
    fn told(&self, claims: &Claims) -> Result<Vec<(HeaderName, HeaderValue)>, Refused> {
        let mut told = Vec::new();
        for (header, name) in &self.settings.claims {
            let untold = || Refused::Untold(name.clone());
            let Some(value) = find(claims, name).map(tell) else {
                continue;
            };
            let Some(value) = value.map_err(|_| untold())? else {
                continue;
            };
            let header = HeaderName::try_from(header).map_err(|_| untold())?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| untold())?;
            told.push((header, value));
        }
        Ok(told)
    }
}

fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}
