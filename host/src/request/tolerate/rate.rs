//! Whom a request counts for where requests are limited, and what a client is told of it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::{HeaderValue, Request};
use serde_json::Value;
use skep_policy::name::ServiceName;
use skep_policy::rate::{Limiter, Settings, Verdict};
use tokio::time::Instant;

use super::whole_seconds;
use crate::config::service::tolerance::{RateKey, RateLimit};
use crate::fault::{Cause, Fault};
use crate::request::exchange::{Exchange, Quota};
use crate::request::identity::Identity;

/// Whom a request counts for.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum Subject<'a> {
    /// All who ask.
    All,
    /// A service that calls.
    Service(&'a str),
    /// A client, by what it can't change at will of its address.
    Client(Option<IpAddr>),
    /// All who send the same header.
    Header(Option<&'a [u8]>),
    /// Somebody who is known.
    Identity(&'a Identity),
    /// All of whom a claim of this name says the same.
    Claim(&'a str, &'a Value),
}

impl<'a> Subject<'a> {
    /// Who is not known counts by where the request comes from.
    pub(crate) fn of<B>(key: &'a RateKey, request: &'a Request<B>, exchange: &'a Exchange) -> Self {
        let journey = &exchange.journey;
        let of_client = || match &journey.caller {
            Some(caller) => Self::Service(caller.service.as_str()),
            None => Self::Client(journey.client.map(network)),
        };
        let identity = exchange.identity();
        match key {
            RateKey::All => Self::All,
            RateKey::Client => of_client(),
            RateKey::Header(name) => {
                Self::Header(request.headers().get(name).map(HeaderValue::as_bytes))
            }
            RateKey::Identity => identity.map_or_else(of_client, |who| Self::Identity(who)),
            RateKey::Claim(name) => {
                let claim = identity.and_then(|who| who.claim(name));
                claim.map_or_else(of_client, |value| Self::Claim(name, value))
            }
        }
    }
}

/// The part of an address that a client can't change at will: of IPv6 it has at least 64 bits to itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Lets a request pass or not, and notes what its client has left; `policy` as [`quota_policy`] says it.
///
/// # Errors
/// [`Cause::RateLimited`].
pub(crate) fn obey(
    verdict: Verdict,
    limit: &RateLimit,
    policy: HeaderValue,
    exchange: &Exchange,
) -> Result<(), Fault> {
    exchange.says_quota(Quota {
        policy,
        interval: limit.settings.interval,
        verdict,
    });
    if verdict.passes {
        return Ok(());
    }
    let mut fault = Fault::new(Cause::RateLimited, "more requests than [rate_limit] allows");
    fault.retry_after = Some(whole_seconds(verdict.retry_after));
    Err(fault)
}

/// Locks that the buckets of one limit are spread over, so that clients hardly ever wait for each other.
const SHARDS: usize = 16;

/// The buckets of one of the gateway's limits.
#[derive(Debug)]
pub(crate) struct Buckets {
    settings: Settings,
    start: Instant,
    hasher: RandomState,
    shards: [Mutex<Limiter>; SHARDS],
}

impl Buckets {
    fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            start: Instant::now(),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(Limiter::new(settings.clone()))),
        }
    }

    pub(crate) fn take(&self, subject: Subject<'_>) -> Verdict {
        let shard = usize::try_from(self.hasher.hash_one(subject) % SHARDS as u64).unwrap_or(0);
        let mut limiter = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        limiter.take(subject, self.start.elapsed())
    }
}

/// What a limit of the gateway's is for: all routes, those of a service, or one of them.
pub(crate) type Extent = (Option<ServiceName>, Option<String>);

/// The buckets of all limits of the gateway, which revisions hand on to each other.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<HashMap<Extent, Weak<Buckets>>>);

impl Limits {
    /// The buckets for `extent`: those that there are, unless they have other settings.
    pub(crate) fn buckets(&self, extent: Extent, settings: &Settings) -> Arc<Buckets> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&extent).and_then(Weak::upgrade);
        if let Some(found) = found.filter(|found| found.settings == *settings) {
            return found;
        }
        let new = Arc::new(Buckets::new(settings));
        all.retain(|_, buckets| buckets.strong_count() > 0);
        all.insert(extent, Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_of_ipv6_is_its_network() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn buckets_are_handed_on_until_their_settings_change_or_nobody_has_them() {
        let limits = Limits::default();
        let settings = |burst| Settings {
            interval: Duration::from_secs(3600),
            burst,
        };
        let of_all = || (None, None);
        let first = limits.buckets(of_all(), &settings(1));
        assert!(first.take(Subject::All).passes);
        assert!(
            !limits
                .buckets(of_all(), &settings(1))
                .take(Subject::All)
                .passes
        );
        let of_route = (None, Some("/a".to_owned()));
        assert!(
            limits
                .buckets(of_route, &settings(1))
                .take(Subject::All)
                .passes
        );
        assert!(
            limits
                .buckets(of_all(), &settings(2))
                .take(Subject::All)
                .passes
        );
        drop(first);
        assert!(
            limits
                .buckets(of_all(), &settings(1))
                .take(Subject::All)
                .passes
        );
    }
}
