//! Headers that are the host's: about one connection, about where a request comes from, and its id.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use skep_policy::forwarded::{self, Claims, Proto};
use skep_policy::identity::may_be_same;
use skep_policy::rate;

use super::exchange::Quota;
use super::tolerate::whole_seconds;
use crate::config::network::Network;
use crate::host::RequestIds;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE: HeaderName = HeaderName::from_static("ratelimit");
/// The client's verified certificate, as Envoy says it. Never from outside.
const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// The service that makes a call. Never from outside.
const CALLER: HeaderName = HeaderName::from_static("x-skep-caller");
/// What headers begin with that are the host's own.
const OWN: &str = "x-skep-";
/// Who sent the request from outside, if that was verified, and how. Never from outside.
const IDENTITY: HeaderName = HeaderName::from_static("x-skep-identity");
const AUTH: HeaderName = HeaderName::from_static("x-skep-auth");
/// Who answered in a service's place.
pub(crate) const FALLBACK: HeaderName = HeaderName::from_static("x-skep-fallback");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Whether a header is about one connection, so that no proxy passes it on (RFC 9110, 7.6.1).
fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Whether a header is what proxies say of a connection, so that from a client it could be anything; or what the host alone
/// says, or is told. Some who read headers don't tell `_` from `-`.
fn is_claim(name: &HeaderName) -> bool {
    let is_one = |name: &str| {
        name.starts_with(OWN)
            || matches!(
                name,
                "forwarded"
                    | "x-real-ip"
                    | "x-forwarded-for"
                    | "x-forwarded-host"
                    | "x-forwarded-proto"
                    | "x-forwarded-client-cert"
                    | "x-forwarded-port"
                    | "x-forwarded-server"
                    | "x-forwarded-ssl"
                    | "x-forwarded-prefix"
            )
    };
    let name = name.as_str();
    // Hardly any name has a `_`: the others cost nothing more.
    is_one(name) || (name.contains('_') && is_one(&name.replace('_', "-")))
}

/// Removes what concerns the connection alone, and what the Connection header names.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    remove(headers, is_of_connection);
}

fn remove(headers: &mut HeaderMap, is_unwanted: impl Fn(&HeaderName) -> bool) {
    let mut unwanted: Vec<HeaderName> = Vec::new();
    let mut has_te = false;
    // One pass over what is there: most requests have nothing to remove, and looking for each name costs a hash.
    for name in headers.keys() {
        has_te |= name == header::TE;
        if is_unwanted(name) {
            unwanted.push(name.clone());
        }
    }
    if unwanted.contains(&header::CONNECTION) {
        let named = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok());
        unwanted.extend(named);
    }
    // The one value of TE that concerns the service: whether trailers are welcome.
    let trailers = has_te && headers.get_all(header::TE).iter().any(welcomes_trailers);
    if has_te {
        unwanted.push(header::TE);
    }
    for name in unwanted {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes headers of these names, and those that some readers don't tell from them.
pub(crate) fn remove_alike(headers: &mut HeaderMap, names: &[HeaderName]) {
    let is_alike = |name: &&HeaderName| {
        names
            .iter()
            .any(|one| may_be_same(one.as_str(), name.as_str()))
    };
    let unwanted: Vec<_> = headers.keys().filter(is_alike).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

fn welcomes_trailers(te: &HeaderValue) -> bool {
    let mut codings = te.to_str().unwrap_or_default().split(',');
    codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Who is at the other end of a connection, as headers say it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) ip: IpAddr,
    /// The value of `x-forwarded-for`.
    address: HeaderValue,
    /// What `forwarded` begins with.
    node: String,
    /// What it ends with: who passed the request on.
    passed: String,
    /// Of the URLs that it asks for.
    pub(crate) scheme: Scheme,
    /// The value of `x-forwarded-client-cert`, if the client showed a certificate.
    certificate: Option<HeaderValue>,
    /// Whether it is believed who sent it its requests.
    is_proxy: bool,
}

impl Client {
    pub(crate) fn of(peer: SocketAddr) -> Self {
        let ip = peer.ip().to_canonical();
        Self {
            ip,
            address: value(ip.to_string()),
            node: node(ip),
            passed: String::new(),
            scheme: Scheme::HTTP,
            certificate: None,
            is_proxy: false,
        }
    }

    /// The same, believed in what it says of its requests if it is one of these networks.
    pub(crate) fn believed_if_in(self, trusted: &[Network]) -> Self {
        let is_proxy = is_in(trusted, self.ip);
        Self { is_proxy, ..self }
    }

    /// Who sent the one at the other end a request with these headers, if that is a trusted proxy and not a client.
    pub(crate) fn behind(&self, headers: &HeaderMap, trusted: &[Network]) -> Option<Self> {
        if !self.is_proxy {
            return None;
        }
        let values = |name| -> Vec<&[u8]> {
            let values = headers.get_all(name).iter();
            values.map(HeaderValue::as_bytes).collect()
        };
        let claims = Claims {
            addresses: &values(FORWARDED_FOR),
            forwarded: &values(header::FORWARDED),
            protos: &values(FORWARDED_PROTO),
        };
        let origin = forwarded::origin(self.ip, &claims, |ip| is_in(trusted, ip));
        let (mut address, mut passed) = (origin.client.to_string(), String::new());
        if origin.client != self.ip {
            for proxy in &origin.proxies {
                address = format!("{address}, {proxy}");
                passed = format!("{passed}, {}", node(*proxy));
            }
        }
        Some(Self {
            ip: origin.client,
            address: value(address),
            node: node(origin.client),
            passed,
            scheme: match origin.proto {
                Some(Proto::Http) => Scheme::HTTP,
                Some(Proto::Https) => Scheme::HTTPS,
                None => self.scheme.clone(),
            },
            certificate: self.certificate.clone(),
            is_proxy: false,
        })
    }

    /// The same on a connection with TLS, with what the certificate says that it showed and that was verified.
    pub(crate) fn over_tls(self, certificate: Option<HeaderValue>) -> Self {
        Self {
            scheme: Scheme::HTTPS,
            certificate,
            ..self
        }
    }

    /// Replaces what the request says of where it comes from, which could be anything, by what is known: that it was
    /// sent to `host` and came to a service without the first `prefix` of its path. `host` is printable ASCII without
    /// quotes.
    pub(crate) fn introduce(&self, headers: &mut HeaderMap, host: &str, prefix: &str) {
        remove(headers, |name| is_of_connection(name) || is_claim(name));
        let proto = match self.scheme == Scheme::HTTPS {
            true => "https",
            false => "http",
        };
        let Self { node, passed, .. } = self;
        let forwarded = format!("{node};host=\"{host}\";proto={proto}{passed}");
        headers.insert(header::FORWARDED, value(forwarded));
        headers.insert(FORWARDED_FOR, self.address.clone());
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
        if let Some(certificate) = &self.certificate {
            headers.insert(CLIENT_CERTIFICATE, certificate.clone());
        }
        if !prefix.is_empty() {
            headers.insert(FORWARDED_PREFIX, value(prefix.to_owned()));
        }
        // One host for all who read the request: the one that it was routed by (RFC 9112, 3.2.2).
        let host = match headers.get(header::HOST) {
            Some(same) if same.as_bytes() == host.as_bytes() => same.clone(),
            _ => {
                let host = value(host.to_owned());
                headers.insert(header::HOST, host.clone());
                host
            }
        };
        headers.insert(FORWARDED_HOST, host);
    }
}

fn is_in(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// An address as `forwarded` has it (RFC 7239, 6).
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    }
}

/// Says in a call's headers which service makes it, and to which host.
pub(crate) fn introduce_caller(headers: &mut HeaderMap, caller: &str, host: &str) {
    remove(headers, |name| is_of_connection(name) || is_claim(name));
    headers.insert(CALLER, value(caller.to_owned()));
    headers.insert(header::HOST, value(host.to_owned()));
}

/// Says in a request's headers who sent it, and how that was proved.
pub(crate) fn insert_identity(headers: &mut HeaderMap, who: HeaderValue, how: HeaderValue) {
    headers.insert(IDENTITY, who);
    headers.insert(AUTH, how);
}

/// Says in an answer's headers that `who` gave it in the place of a service.
pub(crate) fn insert_fallback(headers: &mut HeaderMap, who: &str) {
    headers.insert(FALLBACK, value(who.to_owned()));
}

/// How many requests a client may send, as answers say it.
pub(crate) fn quota_policy(settings: &rate::Settings) -> HeaderValue {
    let window = whole_seconds(settings.interval.saturating_mul(settings.burst));
    value(format!("\"default\";q={};w={window}", settings.burst))
}

/// Says in an answer's headers how many requests the client has left (draft-ietf-httpapi-ratelimit-headers).
pub(crate) fn insert_quota(headers: &mut HeaderMap, quota: &Quota) {
    let Quota {
        policy,
        interval,
        verdict,
    } = quota;
    headers.insert(RATE_POLICY, policy.clone());
    let until = whole_seconds(verdict.retry_after.max(*interval));
    let rest = format!("\"default\";r={};t={until}", verdict.remaining);
    headers.insert(RATE, value(rest));
}

/// A value of what is known to be printable ASCII.
fn value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

/// The id under which a request is logged: short and plain.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's if it is sensible, else a new one.
    pub(crate) fn of(headers: &HeaderMap, ids: &RequestIds) -> Self {
        Self::given(headers).unwrap_or_else(|| Self::new(ids))
    }

    pub(crate) fn new(ids: &RequestIds) -> Self {
        Self(value(ids.next()))
    }

    fn given(headers: &HeaderMap) -> Option<Self> {
        let id = headers.get(REQUEST_ID)?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
        let is_sensible =
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain);
        is_sensible.then(|| Self(id.clone()))
    }

    pub(crate) fn as_str(&self) -> &str {
        // Plain since it was made.
        self.0.to_str().unwrap_or_default()
    }

    /// Says it in the headers of the request or of its answer.
    pub(crate) fn insert(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.0.clone());
    }

    /// Of a request that no host knows of.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        Self(HeaderValue::from_static("test"))
    }
}

#[cfg(test)]
mod tests;
