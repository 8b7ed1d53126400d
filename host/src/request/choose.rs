//! Which of a service's two revisions answers a request, while one of them is on trial: the same one whenever the request
//! or what comes of it asks the service, further tries included.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use skep_policy::name::ServiceName;

use super::exchange::Exchange;
use super::headers::RequestId;
use super::journey::Journey;
use super::pins;
use crate::config::service::rollout::Sticky;
use crate::fault::Fault;
use crate::host::Core;
use crate::registry::{Service, Snapshot, Trial};

/// What the host's cookies begin with.
const COOKIE: &str = "skep-rollout-";
const COOKIE_MAX_AGE_SECONDS: u32 = 24 * 3600;

/// As [`view`], for the service that a request from outside is for: what the request asks for must be allowed and there,
/// and the client is told what keeps it on the same revision.
///
/// # Errors
/// Why the request does not get the revision that it asks for.
pub(super) fn first<'a>(
    core: &Core,
    snapshot: &Snapshot,
    service: &'a Arc<Service>,
    exchange: &Exchange,
) -> Result<&'a Arc<Service>, Fault> {
    let journey = &exchange.journey;
    let Some(outside) = &journey.outside else {
        return Ok(pick(service, journey, &exchange.id, true));
    };
    pins::check(core, snapshot, service, outside)?;
    if let Some(trial) = &service.trial
        && trial.settings.sticky == Sticky::Cookie
        && cookie(outside, &service.name).is_none()
        && !pins::has_any(outside)
    {
        let (name, token) = (&service.name, token(&service.name, &exchange.id));
        let cookie = format!(
            "{COOKIE}{name}={token}; Max-Age={COOKIE_MAX_AGE_SECONDS}; Path=/; HttpOnly; SameSite=Lax"
        );
        // A name and hexadecimal digits: this can't fail.
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            exchange.says_cookie(cookie);
        }
    }
    Ok(pick(service, journey, &exchange.id, true))
}

/// The service as it answers the request `id` of this journey.
pub(super) fn view<'a>(
    service: &'a Arc<Service>,
    journey: &Journey,
    id: &RequestId,
) -> &'a Arc<Service> {
    let is_first = || journey.first() == Some(&service.name);
    pick(service, journey, id, service.trial.is_some() && is_first())
}

/// As [`view`], of the service that the request from outside is for or of another.
fn pick<'a>(
    service: &'a Arc<Service>,
    journey: &Journey,
    id: &RequestId,
    is_first: bool,
) -> &'a Arc<Service> {
    let Some(trial) = &service.trial else {
        return service;
    };
    let outside = journey.outside.as_deref();
    let pinned = outside.and_then(|outside| pins::of(outside, &service.name, is_first));
    let takes_candidate = match pinned {
        Some(number) => number == candidate(trial),
        None => {
            let point = with_key(service, trial, journey, id);
            trial.settings.split.takes_candidate(point)
        }
    };
    if takes_candidate {
        &trial.candidate
    } else {
        service
    }
}

/// The candidate's number.
fn candidate(trial: &Trial) -> u64 {
    let revision = trial.candidate.revision.as_ref();
    revision.map_or(0, |revision| revision.number)
}

/// The point of a request, by what it is to have in common with others on the same revision. What its calls have of that
/// is the request's from outside, so that no guest can lead them to another revision.
fn with_key(service: &Service, trial: &Trial, journey: &Journey, id: &RequestId) -> u64 {
    let point = |key: &[u8]| point(&service.name, candidate(trial), key);
    let outside = journey.outside.as_deref();
    let by_id = || point(id.as_str().as_bytes());
    match &trial.settings.sticky {
        Sticky::Request => by_id(),
        Sticky::Header(name) => {
            let value = outside.and_then(|outside| outside.get(name));
            value.map_or_else(by_id, |value| point(value.as_bytes()))
        }
        Sticky::Client => {
            let client = journey.client.map(|client| client.to_string());
            client.map_or_else(by_id, |client| point(client.as_bytes()))
        }
        Sticky::Cookie => {
            let cookie = outside.and_then(|outside| cookie(outside, &service.name));
            let new = || point(token(&service.name, id).as_bytes());
            cookie.map_or_else(new, |cookie| point(cookie.as_bytes()))
        }
    }
}

/// Even over all services, revisions and keys.
fn point(service: &ServiceName, candidate: u64, key: &[u8]) -> u64 {
    let digest = Sha256::new()
        .chain_update(service.as_str())
        .chain_update([0])
        .chain_update(candidate.to_be_bytes())
        .chain_update(key)
        .finalize();
    let (first, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*first)
}

/// The value of the host's cookie for a service.
fn cookie<'a>(headers: &'a HeaderMap, service: &ServiceName) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let rest = pair.trim().strip_prefix(COOKIE)?;
        rest.strip_prefix(service.as_str())?.strip_prefix('=')
    })
}

/// The value of a new cookie. It is made of the request's id, so that the calls which come of the request find the same.
fn token(service: &ServiceName, id: &RequestId) -> String {
    let digest = Sha256::new()
        .chain_update(service.as_str())
        .chain_update([0])
        .chain_update(id.as_str())
        .finalize();
    let half = digest.iter().take(16);
    half.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::try_from(text).unwrap()
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        for value in [
            "other=1; skep-rollout-ab=2",
            "skep-rollout-a=3;x=skep-rollout-a=4",
        ] {
            headers.append(header::COOKIE, HeaderValue::from_static(value));
        }
        assert_eq!(cookie(&headers, &name("a")), Some("3"));
        assert_eq!(cookie(&headers, &name("ab")), Some("2"));
        assert_eq!(cookie(&headers, &name("b")), None);
    }

    #[test]
    fn points_are_others_for_each_service_revision_and_key() {
        let points = [("a", 1, "k"), ("b", 1, "k"), ("a", 2, "k"), ("a", 1, "l")]
            .map(|(service, number, key)| point(&name(service), number, key.as_bytes()));
        let different: std::collections::HashSet<_> = points.iter().collect();
        assert_eq!(different.len(), points.len());
        assert_eq!(points[0], point(&name("a"), 1, b"k"));
    }
}
