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
    settings: Settings,
    tokens: Option<Arc<Tokens>>,
    passwords: Option<Arc<Passwords>>,
    keys: Option<Keys>,
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
        let jwt = settings.jwt.as_ref();
        let api_key = settings.api_key.as_ref();
        // Checked when they were read.
        let name = |name: &str| HeaderName::try_from(name).ok();
        let mut proofs = Vec::new();
        if settings.basic.is_some() {
            proofs.push(header::AUTHORIZATION);
        }
        proofs.extend(jwt.and_then(|jwt| name(&jwt.header)));
        proofs.extend(api_key.and_then(|keys| name(&keys.header)));
        Self {
            tokens: jwt.map(|jwt| shared.tokens(jwt)),
            passwords: settings.basic.as_ref().map(|basic| shared.passwords(basic)),
            keys: api_key.map(Keys::new),
            proofs,
            settings: settings.clone(),
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
            None if self.settings.optional => Ok(None),
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
        let takes_tokens = self.settings.jwt.as_ref();
        let takes_tokens = takes_tokens.is_some_and(|jwt| *jwt.header == header::AUTHORIZATION);
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
        let (Some(tokens), Some(jwt)) = (&self.tokens, &self.settings.jwt) else {
            return Ok(None);
        };
        let mut token = match presented {
            Some(Presented::Token(token)) => Some(token),
            _ => None,
        };
        if *jwt.header != header::AUTHORIZATION
            && let Some(name) = HeaderName::try_from(&jwt.header).ok()
            && let Some(value) = single(headers, &name)?
        {
            token = Some(match identity::presented(value.as_bytes()) {
                Presented::Token(token) => token,
                _ => value.as_bytes(),
            });
        }
        if let (None, Some(name)) = (token, &jwt.cookie) {
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
                passwords.verify(pair, until).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Removes what proves who came in, unless it is passed on.
    fn clear(&self, headers: &mut HeaderMap) {
        if self.settings.forward {
            return;
        }
        for proof in &self.proofs {
            headers.remove(proof);
        }
        let jwt = self.settings.jwt.as_ref();
        if let Some(cookie) = jwt.and_then(|jwt| jwt.cookie.as_ref()) {
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
        let realm = &self.settings.realm;
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
