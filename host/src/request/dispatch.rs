//! From a request to a service, and to the request that the service sees.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request, Version, request::Parts};
use hyper::body::Incoming as HyperBody;
use skep_policy::routes::{Found, strip_prefix};
use wasmtime_wasi_http::WasiBody;

use super::body::Incoming;
use super::exchange::Exchange;
use crate::fault::{Cause, Fault};
use crate::registry::{Service, Snapshot};

/// What proxies say of a connection and this host does not; from a client it could be anything.
const CLAIMS: [HeaderName; 4] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
];
/// Headers about one connection, which no proxy passes on (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// The id under which a request is logged; taken from the client if it is sensible, else made.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Where a request goes.
pub(crate) struct Route {
    pub(crate) service: Arc<Service>,
    /// What the service does not see of the path.
    prefix: String,
    authority: Authority,
}

/// Finds the service for a request.
///
/// # Errors
/// [`Cause::MalformedRequest`], [`Cause::NoRoute`] or [`Cause::WrongMethod`].
pub(crate) fn route<B>(snapshot: &Snapshot, request: &Request<B>) -> Result<Route, Fault> {
    let authority = authority(request)?;
    let path = request.uri().path();
    if !path.starts_with('/') {
        return Err(Fault::new(
            Cause::MalformedRequest,
            format!("{} {path:?} is not a path on this host", request.method()),
        ));
    }
    match snapshot
        .routes
        .find(authority.as_str(), path, request.method().as_str())
    {
        Found::Match { value, prefix } => Ok(Route {
            service: value.clone(),
            prefix: prefix.into(),
            authority,
        }),
        Found::WrongMethod { allow } => Err(Fault::wrong_method(&allow)),
        Found::None => Err(Cause::NoRoute.into()),
    }
}

/// The host that the request is for: of its target, or else its one Host header (RFC 9112, 3.2).
fn authority<B>(request: &Request<B>) -> Result<Authority, Fault> {
    let malformed = |detail: &str| Fault::new(Cause::MalformedRequest, detail);
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(malformed("more than one Host header"));
    }
    let authority = match (request.uri().authority(), host) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) if host.is_empty() => return Err(malformed("the Host header is empty")),
        (None, Some(host)) => Authority::try_from(host.as_bytes())
            .map_err(|_| malformed("the Host header is not a host"))?,
        (None, None) if request.version() == Version::HTTP_10 => {
            Authority::from_static("localhost")
        }
        (None, None) => return Err(malformed("no Host header")),
    };
    if authority.as_str().contains('@') || !has_sound_port(&authority) {
        return Err(malformed("the host has a user, or a port that is none"));
    }
    Ok(authority)
}

/// Whether what follows the host is nothing, or a colon and at most a port's digits. [`Authority::port`] does not tell a
/// port that is none from no port.
fn has_sound_port(authority: &Authority) -> bool {
    let after_host = &authority.as_str()[authority.host().len()..];
    match after_host.strip_prefix(':') {
        Some("") => true,
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => after_host.is_empty(),
    }
}

/// What the edge knows about a request.
pub(crate) struct Edge<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) exchange: &'a Arc<Exchange>,
    pub(crate) body_idle: Duration,
}

/// Makes the request that the guest sees.
///
/// # Errors
/// [`Cause::BodyTooLarge`] when the request says so itself; [`Cause::MalformedRequest`].
pub(crate) fn prepare(
    request: Request<HyperBody>,
    route: &Route,
    edge: &Edge<'_>,
) -> Result<Request<WasiBody>, Fault> {
    let (mut parts, body) = request.into_parts();
    let limit = route.service.config.limits.body;
    if let Some(length) = content_length(&parts.headers).filter(|length| *length > limit) {
        return Err(Fault::new(
            Cause::BodyTooLarge,
            format!("the body has {length} bytes; [limits] body allows {limit}"),
        ));
    }
    remove_hop_by_hop(&mut parts.headers);
    add_forwarded(&mut parts.headers, route, edge)?;
    parts.uri = inner_uri(&parts, route)?;
    let body = Incoming::boxed(body, limit, edge.body_idle, edge.exchange);
    Ok(Request::from_parts(parts, body))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Removes what concerns the connection alone, and what the Connection header names.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    // The one value of TE that concerns the service: whether trailers are welcome.
    let trailers = headers.get_all(header::TE).iter().any(|value| {
        value.to_str().is_ok_and(|value| {
            value
                .split(',')
                .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        })
    });
    headers.remove(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Says who sent the request and where to. What the client says of that itself is dropped: it could be anything.
fn add_forwarded(headers: &mut HeaderMap, route: &Route, edge: &Edge<'_>) -> Result<(), Fault> {
    let value = |text: &str| {
        HeaderValue::try_from(text).map_err(|error| Fault::new(Cause::MalformedRequest, error))
    };
    let ip = edge.peer.ip().to_canonical();
    let host = route.authority.as_str();
    let node = if ip.is_ipv6() {
        format!("\"[{ip}]\"")
    } else {
        ip.to_string()
    };
    headers.insert(
        header::FORWARDED,
        value(&format!("for={node};host=\"{host}\";proto=http"))?,
    );
    for claim in CLAIMS {
        headers.remove(claim);
    }
    // One host for all who read the request: the one that it was routed by (RFC 9112, 3.2.2).
    headers.insert(header::HOST, value(host)?);
    headers.insert(FORWARDED_FOR, value(&ip.to_string())?);
    headers.insert(FORWARDED_HOST, value(host)?);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.remove(FORWARDED_PREFIX);
    if !route.prefix.is_empty() {
        headers.insert(FORWARDED_PREFIX, value(&route.prefix)?);
    }
    headers.insert(REQUEST_ID, value(&edge.exchange.id)?);
    Ok(())
}

fn inner_uri(parts: &Parts, route: &Route) -> Result<Uri, Fault> {
    let path = strip_prefix(parts.uri.path(), &route.prefix);
    let malformed =
        |error: &dyn std::fmt::Display| Fault::new(Cause::MalformedRequest, error.to_string());
    let path_and_query: PathAndQuery = match (parts.uri.query(), parts.uri.path_and_query()) {
        (None, Some(whole)) if whole.path() == path => whole.clone(),
        (None, _) => path.parse().map_err(|error| malformed(&error))?,
        (Some(query), _) => format!("{path}?{query}")
            .parse()
            .map_err(|error| malformed(&error))?,
    };
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(route.authority.clone())
        .path_and_query(path_and_query)
        .build()
        .map_err(|error| malformed(&error))
}

/// The client's request id if it is short and plain.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    ((1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)).then_some(id)
}

/// Whether the answer to `method` has no body whatever the service sends.
pub(crate) fn answers_without_body(method: &Method) -> bool {
    method == Method::HEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, hosts: &[&'static str]) -> Request<()> {
        let mut request = Request::get(target).body(()).unwrap();
        for host in hosts {
            let host = HeaderValue::from_static(host);
            request.headers_mut().append(header::HOST, host);
        }
        request
    }

    #[test]
    fn the_host_is_the_targets_or_else_the_one_host_headers() {
        for (target, hosts, expected) in [
            ("/", &["here"][..], Some("here")),
            ("/", &["here:80"], Some("here:80")),
            ("/", &["[::1]:80"], Some("[::1]:80")),
            ("http://there/", &["here"], Some("there")),
            ("http://there/", &[], Some("there")),
            ("http://there/", &["here", "here"], None),
            ("/", &[], None),
            ("/", &[""], None),
            ("/", &["a", "a"], None),
            ("/", &["a b"], None),
            ("/", &["a/b"], None),
            ("/", &["here:"], Some("here:")),
            ("/", &["here:65535"], Some("here:65535")),
            ("/", &["here:65536"], None),
            ("/", &["here:+80"], None),
            ("/", &["here:port"], None),
            ("/", &["here:80:80"], None),
            ("/", &["[::1]80"], None),
            ("/", &["user@here"], None),
            ("/", &["user:word@here:80"], None),
            ("http://user@there/", &["there"], None),
            ("http://there:port/", &["there"], None),
        ] {
            let found = authority(&request(target, hosts));
            match expected {
                Some(expected) => assert_eq!(found.unwrap(), expected, "{target} {hosts:?}"),
                None => assert_eq!(found.unwrap_err().cause, Cause::MalformedRequest),
            }
        }
        let mut old = request("/", &[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(authority(&old).unwrap(), "localhost");
    }

    #[test]
    fn headers_of_the_connection_go_and_all_others_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Named"),
            ("connection", "x-named-too,,  "),
            ("x-named", "1"),
            ("x-named-too", "1"),
            ("keep-alive", "timeout=1"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "Basic x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AA"),
            ("te", "gzip;q=0.5, Trailers"),
            ("x-kept", "1"),
            ("x-kept", "2"),
            ("trailer", "x-sum"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        let expected = [
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("x-kept", "1"),
            ("x-kept", "2"),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn te_goes_unless_it_welcomes_trailers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::TE, HeaderValue::from_static("gzip"));
        remove_hop_by_hop(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_request_id_is_short_and_plain() {
        let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
        let too_long = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
        for (id, kept) in [
            ("a", true),
            ("0af7-1_2.3:4/5+6=", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("two words", false),
            ("a\"", false),
            ("a\tb", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::try_from(id).unwrap());
            assert_eq!(request_id(&headers), kept.then_some(id), "{id:?}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(request_id(&headers), None);
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(request_id(&headers), None);
    }
}
