//! What a token's claims must be.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Refused, is_fit};

/// What a token says.
pub type Claims = Map<String, Value>;

/// What must hold of a token's claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Who may have issued it; anybody with a key of the set if empty.
    pub issuers: Vec<String>,
    /// Whom it may be for: one of these; anybody if empty.
    pub audiences: Vec<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// The claim that says whose it is.
    pub identity: String,
    /// Claims that must have one of these values.
    pub require: BTreeMap<String, Vec<String>>,
}

/// What is known of a token that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub identity: String,
    /// When it stops to hold, since 1970.
    pub until: Duration,
}

/// Checks the claims of a token whose signature is right, at `now` since 1970.
///
/// # Errors
/// Why it does not hold; [`Refused::Lacks`] only if everything else does.
pub fn check(claims: &Claims, rules: &Rules, now: Duration) -> Result<Verified, Refused> {
    let Some(expires) = moment(claims, "exp")? else {
        return Err(Refused::Malformed("it has no exp"));
    };
    let until = expires.saturating_add(rules.leeway);
    if now >= until {
        return Err(Refused::Expired);
    }
    for begins in ["nbf", "iat"] {
        let begins = moment(claims, begins)?;
        if begins.is_some_and(|begins| now.saturating_add(rules.leeway) < begins) {
            return Err(Refused::NotYet);
        }
    }
    let is = |value: &Value, allowed: &[String]| {
        value
            .as_str()
            .is_some_and(|value| allowed.iter().any(|allowed| allowed == value))
    };
    if !rules.issuers.is_empty() && !claims.get("iss").is_some_and(|iss| is(iss, &rules.issuers)) {
        return Err(Refused::Issuer);
    }
    let is_for_us = |audience: &Value| match audience {
        Value::Array(all) => all.iter().any(|one| is(one, &rules.audiences)),
        one => is(one, &rules.audiences),
    };
    if !rules.audiences.is_empty() && !claims.get("aud").is_some_and(is_for_us) {
        return Err(Refused::Audience);
    }
    let identity = find(claims, &rules.identity).and_then(scalar);
    let identity = identity
        .filter(|identity| !identity.is_empty())
        .ok_or_else(|| Refused::Nobody(rules.identity.clone()))?;
    if !is_fit(&identity) {
        return Err(Refused::Untold(rules.identity.clone()));
    }
    for (claim, values) in &rules.require {
        let has = |found: &Value| values.iter().any(|value| says(claim, found, value));
        if !find(claims, claim).is_some_and(has) {
            return Err(Refused::Lacks(claim.clone()));
        }
    }
    Ok(Verified { identity, until })
}

/// A time since 1970: a number, of seconds. What lies before 1970 is 1970, what no clock will show is far away.
fn moment(claims: &Claims, name: &str) -> Result<Option<Duration>, Refused> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let malformed = Refused::Malformed("a time in it is no number");
    let Value::Number(number) = value else {
        return Err(malformed);
    };
    if let Some(seconds) = number.as_u64() {
        return Ok(Some(Duration::from_secs(seconds)));
    }
    let seconds = number.as_f64().ok_or(malformed)?;
    Ok(Some(
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX),
    ))
}

/// The claim of this name, or the one that the name leads to, its parts by dots: `realm_access.roles`. A name is taken as
/// a whole first, since many have dots in them.
#[must_use]
pub fn find<'c>(claims: &'c Claims, name: &str) -> Option<&'c Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    name.match_indices('.').find_map(|(dot, _)| {
        let inner = claims.get(&name[..dot])?.as_object()?;
        find(inner, &name[dot + 1..])
    })
}

/// Whether a claim has a value: is it, or lists it. A scope's values are words (RFC 8693, 4.2; `scp` as some write it).
fn says(claim: &str, found: &Value, wanted: &str) -> bool {
    let last = claim.rsplit('.').next().unwrap_or(claim);
    match found {
        Value::Array(all) => all
            .iter()
            .any(|one| scalar(one).is_some_and(|one| one == wanted)),
        Value::String(words) if matches!(last, "scope" | "scp") => {
            words.split(' ').any(|word| word == wanted)
        }
        one => scalar(one).is_some_and(|one| one == wanted),
    }
}

/// The text of what is one.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
