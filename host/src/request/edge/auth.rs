//! Who comes in: whoever proves in one of the ways of the route who it is. What can't be found out now is refused.

use std::fmt;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use skep_policy::identity::{self, Presented, Refused};
use tokio::time::Instant;

use self::keys::Keys;
use self::passwords::Passwords;
use self::tokens::Tokens;
use crate::config::edge::Auth as Settings;
use crate::fault::{Cause, Fault};
use crate::request::exchange::Exchange;
use crate::request::identity::Identity;

pub(crate) use self::shared::Identities;

mod cache;
mod hashing;
mod jwks;
mod keys;
mod passwords;
mod shared;
mod tokens;
mod watched;

/// The way into one route.
pub(crate) struct Auth {
    is_optional: bool,
    /// Whether the service gets what proves who comes in.
    forwards: bool,
    realm: String,
    tokens: Option<Arc<Tokens>>,
    passwords: Option<Arc<Passwords>>,
    keys: Option<Arc<Keys>>,
    /// What proves who comes in.
    proofs: Vec<HeaderName>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(…)")
    }
}

/// Why somebody does not come in. In the order of what is said if there are several reasons.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Denied {
    /// What is presented proves nothing.
    Wrong { why: String, token: Option<Wrong> },
    /// It is good, and not good enough: that of a token.
    Lacks(String),
    /// Nobody can say now.
    Unknown(String),
}

/// What is wrong with a token, as its holder is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Expired,
    Invalid,
}

impl Denied {
    fn wrong(why: impl Into<String>) -> Self {
        Self::Wrong {
            why: why.into(),
            token: None,
        }
    }

    fn token(refused: &Refused) -> Self {
        let why = refused.to_string();
        let token = Some(match refused {
            Refused::Expired => Wrong::Expired,
            Refused::Lacks(_) => return Self::Lacks(why),
            _ => Wrong::Invalid,
        });
        Self::Wrong { why, token }
    }
}

/// What came of one way to prove who comes in: nothing if it was not tried.
type Outcome = Result<Option<Arc<Identity>>, Denied>;

impl Auth {
    pub(crate) fn new(settings: &Settings, shared: &Arc<Identities>) -> Self {
        let tokens = settings.jwt.as_ref().map(|jwt| shared.tokens(jwt));
        let passwords = settings.basic.as_ref().map(|basic| shared.passwords(basic));
        let keys = settings.api_key.as_ref().map(|keys| shared.keys(keys));
        let mut proofs = Vec::new();
        proofs.extend(passwords.as_ref().map(|_| header::AUTHORIZATION));
        proofs.extend(tokens.as_ref().map(|tokens| tokens.header.clone()));
        proofs.extend(keys.as_ref().map(|keys| keys.header.clone()));
        Self {
            is_optional: settings.optional,
            forwards: settings.forward,
            realm: settings.realm.clone(),
            tokens,
            passwords,
            keys,
            proofs,
        }
    }

    /// Finds out who sent a request with these headers, in its time, and says so in them.
    ///
    /// # Errors
    /// [`Cause::Unauthenticated`], [`Cause::Forbidden`], or [`Cause::IdentityUnknown`].
    pub(crate) async fn enter(
        &self,
        headers: &mut HeaderMap,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        let service = exchange.routed();
        let until = service.map_or(exchange.started, |service| exchange.deadline(service));
        let identity = self.find(headers, until).await?;
        self.clear(headers);
        if let Some(identity) = identity {
            identity.introduce(headers);
            identity.tell(headers);
            exchange.is_of(identity);
        }
        Ok(())
    }

    async fn find(
        &self,
        headers: &HeaderMap,
        until: Instant,
    ) -> Result<Option<Arc<Identity>>, Fault> {
        let mut denied = None;
        let mut deny = |why: Denied| denied = denied.take().max(Some(why));
        let presented = self.presented(headers).unwrap_or_else(|why| {
            deny(why);
            None
        });
        match self.by_token(headers, presented, until).await {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(why) => deny(why),
        }
        match self.by_password(presented, until).await {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(why) => deny(why),
        }
        match self
            .keys
            .as_ref()
            .map_or(Ok(None), |keys| keys.find(headers))
        {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(why) => deny(why),
        }
        match denied {
            None if self.is_optional => Ok(None),
            denied => Err(self.fault(denied)),
        }
    }

    /// What the `Authorization` header presents, if it is for the host.
    fn presented<'h>(&self, headers: &'h HeaderMap) -> Result<Option<Presented<'h>>, Denied> {
        if !self.proofs.contains(&header::AUTHORIZATION) {
            return Ok(None);
        }
        let Some(value) = single(headers, &header::AUTHORIZATION)? else {
            return Ok(None);
        };
        let tokens = self.tokens.as_ref();
        let takes_tokens = tokens.is_some_and(|tokens| tokens.header == header::AUTHORIZATION);
        match identity::presented(value.as_bytes()) {
            Presented::Token(_) if !takes_tokens => Err(Denied::wrong("no tokens are taken")),
            Presented::Password(_) if self.passwords.is_none() => {
                Err(Denied::wrong("no passwords are taken"))
            }
            Presented::Other => Err(Denied::wrong("no such credentials are taken")),
            presented => Ok(Some(presented)),
        }
    }

    async fn by_token(
        &self,
        headers: &HeaderMap,
        presented: Option<Presented<'_>>,
        until: Instant,
    ) -> Outcome {
        let Some(tokens) = &self.tokens else {
            return Ok(None);
        };
        let mut token = match presented {
            Some(Presented::Token(token)) => Some(token),
            _ => None,
        };
        if tokens.header != header::AUTHORIZATION
            && let Some(value) = single(headers, &tokens.header)?
        {
            token = Some(match identity::presented(value.as_bytes()) {
                Presented::Token(token) => token,
                _ => value.as_bytes(),
            });
        }
        if let (None, Some(name)) = (token, tokens.cookie()) {
            let values = headers.get_all(header::COOKIE).iter();
            let found = identity::cookie(values.map(HeaderValue::as_bytes), name);
            token = found.map_err(|refused| Denied::token(&refused))?;
        }
        match token {
            Some(token) => tokens.verify(token, until).await.map(Some),
            None => Ok(None),
        }
    }

    async fn by_password(&self, presented: Option<Presented<'_>>, until: Instant) -> Outcome {
        match (&self.passwords, presented) {
            (Some(passwords), Some(Presented::Password(pair))) => {
                // On the heap, so that requests without a password are no larger for it.
                Box::pin(passwords.verify(pair, until)).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Removes what proves who came in, unless it is passed on.
    fn clear(&self, headers: &mut HeaderMap) {
        if self.forwards {
            return;
        }
        for proof in &self.proofs {
            headers.remove(proof);
        }
        if let Some(cookie) = self.tokens.as_ref().and_then(|tokens| tokens.cookie()) {
            remove_cookie(headers, cookie);
        }
    }

    fn fault(&self, denied: Option<Denied>) -> Fault {
        let (cause, why, error) = match denied {
            None => (
                Cause::Unauthenticated,
                "the request has no credentials".to_owned(),
                "",
            ),
            Some(Denied::Wrong { why, token }) => {
                let error = match token {
                    None => "",
                    Some(Wrong::Invalid) => ", error=\"invalid_token\"",
                    Some(Wrong::Expired) => {
                        ", error=\"invalid_token\", error_description=\"the token has expired\""
                    }
                };
                (Cause::Unauthenticated, why, error)
            }
            Some(Denied::Lacks(why)) => (Cause::Forbidden, why, ", error=\"insufficient_scope\""),
            Some(Denied::Unknown(why)) => return Fault::new(Cause::IdentityUnknown, why),
        };
        let realm = &self.realm;
        let mut fault = Fault::new(cause, why);
        if self.tokens.is_some() {
            let challenge = format!("Bearer realm=\"{realm}\"{error}");
            fault.challenges.push(challenge);
        }
        if self.passwords.is_some() {
            let challenge = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
            fault.challenges.push(challenge);
        }
        if self.keys.is_some() {
            fault.challenges.push(format!("Key realm=\"{realm}\""));
        }
        fault
    }
}

/// A header's name of the configuration, which was checked when it was read.
fn header_name(name: &str) -> HeaderName {
    HeaderName::try_from(name).unwrap_or(header::AUTHORIZATION)
}

/// The one value of a header. Of two, one might be what others have checked and the other what they have not.
fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Denied> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Denied::wrong(format!("more than one {name}"))),
        (value, None) => Ok(value),
    }
}

fn remove_cookie(headers: &mut HeaderMap, name: &str) {
    let values = || headers.get_all(header::COOKIE).iter();
    let without = |value: &HeaderValue| identity::without_cookie(value.as_bytes(), name);
    if values().all(|value| without(value).is_none()) {
        return;
    }
    let left: Vec<HeaderValue> = values()
        .filter_map(|value| match without(value) {
            None => Some(value.clone()),
            Some(left) => HeaderValue::from_bytes(&left).ok(),
        })
        .filter(|value| !value.is_empty())
        .collect();
    headers.remove(header::COOKIE);
    for value in left {
        headers.append(header::COOKIE, value);
    }
}
