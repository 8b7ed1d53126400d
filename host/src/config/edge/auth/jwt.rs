//! Tokens that issuers sign.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use skep_policy::identity::{Algorithm, Rules};
use skep_policy::quote::quoted;

use super::{Jwt, KeySource, Location, names};
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::{RawJwt, RawValues};
use crate::config::units::{OneOrMore, Span};

const LISTED_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 1024;
const HOUR: Duration = Duration::from_secs(3600);
const LEEWAY_MAX: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn resolve(raw: RawJwt, scope: &Scope<'_>) -> Result<Jwt, ConfigError> {
    let leeway = span(
        raw.leeway,
        "leeway",
        (Duration::ZERO, 30, LEEWAY_MAX),
        scope,
    )?;
    let refresh = span(raw.refresh, "refresh", (SECOND, 300, 24 * HOUR), scope)?;
    let cooldown = span(raw.cooldown, "cooldown", (SECOND / 10, 10, HOUR), scope)?;
    let stale = span(
        raw.stale,
        "stale",
        (SECOND, 24 * 3600, 30 * 24 * HOUR),
        scope,
    )?;
    if stale < refresh {
        let what = "must not be shorter than refresh: the keys would be of no use in between";
        return Err(scope.error(&["stale"], what));
    }
    let header = raw.header.as_deref().unwrap_or("authorization");
    let header = names::header(header, &["header"], scope)?;
    let cookie = raw
        .cookie
        .map(|name| names::cookie(name, &["cookie"], scope));
    let identity = raw.identity.unwrap_or_else(|| "sub".to_owned());
    Ok(Jwt {
        keys: KeySource {
            location: location(raw.jwks, scope)?,
            refresh,
            cooldown,
            stale,
        },
        algorithms: algorithms(raw.algorithms, scope)?,
        rules: Rules {
            issuers: texts(raw.issuer, "issuer", scope)?,
            audiences: texts(raw.audience, "audience", scope)?,
            leeway,
            identity: claim(identity, &["identity"], scope)?,
            require: require(raw.require.unwrap_or_default(), scope)?,
        },
        claims: claims(raw.claims.unwrap_or_default(), &header, scope)?,
        header,
        cookie: cookie.transpose()?,
    })
}

fn span(
    given: Option<Span>,
    key: &str,
    (min, default, max): (Duration, u64, Duration),
    scope: &Scope<'_>,
) -> Result<Duration, ConfigError> {
    let span = given.map_or(Duration::from_secs(default), |span| span.0);
    if (min..=max).contains(&span) {
        return Ok(span);
    }
    let show = skep_policy::duration::show;
    let what = format!("must be between {} and {}", show(min), show(max));
    Err(scope.error(&[key], what))
}

fn location(given: Option<String>, scope: &Scope<'_>) -> Result<Location, ConfigError> {
    let Some(given) = given else {
        let what = "names no keys: add `jwks = \"https://issuer.example/keys.json\"`, or a file";
        return Err(scope.error(&[], what));
    };
    if !given.contains("://") {
        let path = scope.file_beside(&["jwks"], &given)?;
        if !path.is_file() {
            let fix = "put the issuer's key set there (RFC 7517), or correct jwks".to_owned();
            return Err(ConfigError::Missing { path, fix });
        }
        return Ok(Location::File(path));
    }
    let error = |what: &str| Err(scope.error(&["jwks"], format!("{} {what}", quoted(&given))));
    let Ok(url) = Uri::try_from(&given) else {
        return error("is no URL");
    };
    let authority = url.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return error("has a user: keys are public, leave it out");
    }
    let host = url.host().unwrap_or_default();
    match url.scheme_str() {
        Some("https") if !host.is_empty() => Ok(Location::Url(given)),
        Some("http") if is_this_machine(host) => Ok(Location::Url(given)),
        Some("http") => {
            error("must begin with https://: others could change the keys on their way")
        }
        _ => error("is no URL of keys: it begins with https://"),
    }
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn algorithms(given: Option<OneOrMore>, scope: &Scope<'_>) -> Result<Vec<Algorithm>, ConfigError> {
    let Some(OneOrMore(given)) = given else {
        return Ok(Algorithm::ALL.to_vec());
    };
    if given.is_empty() {
        return Err(scope.error(&["algorithms"], "is empty: name one, or leave it out"));
    }
    let read = |(at, name): (usize, &String)| {
        Algorithm::named(name).ok_or_else(|| {
            let all = Algorithm::ALL.map(Algorithm::as_str).join(", ");
            let what = format!("{} is none of {all}", quoted(name));
            scope.error(&["algorithms", &at.to_string()], what)
        })
    };
    given.iter().enumerate().map(read).collect()
}

fn texts(
    given: Option<OneOrMore>,
    key: &str,
    scope: &Scope<'_>,
) -> Result<Vec<String>, ConfigError> {
    let Some(OneOrMore(texts)) = given else {
        return Ok(Vec::new());
    };
    let is_text = |text: &String| (1..=TEXT_BYTES_MAX).contains(&text.len());
    if (1..=LISTED_MAX).contains(&texts.len()) && texts.iter().all(is_text) {
        return Ok(texts);
    }
    let what = format!("must be 1 to {LISTED_MAX} texts that are not empty, or be left out");
    Err(scope.error(&[key], what))
}

fn claim(name: String, keys: &[&str], scope: &Scope<'_>) -> Result<String, ConfigError> {
    if (1..=TEXT_BYTES_MAX).contains(&name.len()) {
        return Ok(name);
    }
    Err(scope.error(keys, "is no name of a claim"))
}

fn require(
    given: BTreeMap<String, RawValues>,
    scope: &Scope<'_>,
) -> Result<BTreeMap<String, Vec<String>>, ConfigError> {
    at_most(given.len(), "require", scope)?;
    let read = |(name, RawValues(values)): (String, RawValues)| {
        let keys = ["require", name.as_str()];
        if values.is_empty() || values.len() > LISTED_MAX {
            let what = format!("must have 1 to {LISTED_MAX} values");
            return Err(scope.error(&keys, what));
        }
        Ok((claim(name.clone(), &keys, scope)?, values))
    };
    given.into_iter().map(read).collect()
}

/// By header, the claim.
fn claims(
    given: BTreeMap<String, String>,
    of_token: &str,
    scope: &Scope<'_>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    at_most(given.len(), "claims", scope)?;
    let mut claims = BTreeMap::new();
    for (name, header) in given {
        let keys = ["claims", name.as_str()];
        let header = names::header(&header, &keys, scope)?;
        if header == of_token || header == "authorization" {
            return Err(scope.error(
                &keys,
                "is the header of what proves who comes in: name another",
            ));
        }
        if claims.contains_key(&header) {
            let what = format!(
                "{} is another claim's header: name another",
                quoted(&header)
            );
            return Err(scope.error(&keys, what));
        }
        let claim = claim(name.clone(), &keys, scope)?;
        claims.insert(header, claim);
    }
    Ok(claims)
}

fn at_most(count: usize, key: &str, scope: &Scope<'_>) -> Result<(), ConfigError> {
    if count <= LISTED_MAX {
        return Ok(());
    }
    Err(scope.error(&[key], format!("lists more than {LISTED_MAX} claims")))
}
