//! From a request to a service, and to the request that the service sees.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::uri::{self, Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Version, request::Parts};
use hyper::body::{Body, Incoming as HyperBody};
use skep_policy::routes::{Found, has_dot_segment, normalised, strip_prefix};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::body::Incoming;
use super::edge::{Edge, cors};
use super::exchange::Exchange;
use super::headers::Client;
use crate::config::service::target::Target;
use crate::fault::{Cause, Fault};
use crate::registry::{Service, Snapshot};

/// Where a request goes.
pub(crate) struct Route<'a> {
    pub(crate) service: &'a Arc<Service>,
    /// What is to be done beside asking the service.
    pub(crate) edge: Option<&'a Arc<Edge>>,
    /// The place of the route among the service's.
    pub(crate) at: usize,
    /// Whether a browser asks what it may send there, and the gateway answers.
    pub(crate) is_preflight: bool,
    /// What the service does not see of the path.
    prefix: &'a str,
    authority: Authority,
}

/// Says of a request for a file what the client asked for, where the path does not tell.
#[derive(Clone, Debug)]
pub(crate) struct LastName {
    /// The last name of the path, empty if that ended in a slash.
    pub(crate) name: String,
    /// Whether the path is that of its route's prefix, without the slash that what is below begins with.
    pub(crate) is_prefix: bool,
}

impl Route<'_> {
    /// The host that was asked, with its port if that was said.
    pub(crate) fn host(&self) -> &str {
        self.authority.as_str()
    }
}

/// Finds the service for a request, whose path it normalises: routes, policies and services all read the same.
///
/// # Errors
/// [`Cause::MalformedRequest`], [`Cause::NoRoute`] or [`Cause::WrongMethod`].
pub(crate) fn route<'a, B>(
    snapshot: &'a Snapshot,
    request: &mut Request<B>,
) -> Result<Route<'a>, Fault> {
    let authority = authority(request)?;
    normalise(request)?;
    let request = &*request;
    let path = request.uri().path();
    if !path.starts_with('/') {
        return Err(Fault::new(
            Cause::MalformedRequest,
            format!("{} {path:?} is not a path on this host", request.method()),
        ));
    }
    let find = |method: &str| snapshot.routes.find(authority.as_str(), path, method);
    // A preflight is about the route that the request proper will take.
    let asked = cors::asked_for(request).map(&find);
    let answered_here = asked.filter(|found| match found {
        Found::Match { value, .. } => value.edge.as_ref().is_some_and(|edge| edge.has_cors()),
        _ => false,
    });
    let is_preflight = answered_here.is_some();
    match answered_here.unwrap_or_else(|| find(request.method().as_str())) {
        Found::Match { value, prefix } => Ok(Route {
            service: &value.service,
            edge: value.edge.as_ref(),
            at: value.at,
            is_preflight,
            prefix,
            authority,
        }),
        Found::WrongMethod { allow } => Err(Fault::wrong_method(&allow)),
        Found::None => Err(Cause::NoRoute.into()),
    }
}

fn normalise<B>(request: &mut Request<B>) -> Result<(), Fault> {
    let uri = request.uri();
    no_dot_segment(uri.path())?;
    if let Cow::Owned(path) = normalised(uri.path()) {
        *request.uri_mut() = with_path(uri, &path)?;
    }
    Ok(())
}

/// # Errors
/// [`Cause::MalformedRequest`]: clients resolve such segments before they send, and servers after routes were chosen.
pub(super) fn no_dot_segment(path: &str) -> Result<(), Fault> {
    match has_dot_segment(path) {
        true => {
            let detail = "the path has a segment . or .., which clients resolve before they ask";
            Err(Fault::new(Cause::MalformedRequest, detail))
        }
        false => Ok(()),
    }
}

/// The same at another path.
pub(super) fn with_path(uri: &Uri, path: &str) -> Result<Uri, Fault> {
    let malformed = |error: &dyn std::fmt::Display| Fault::new(Cause::MalformedRequest, error);
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    let whole = PathAndQuery::try_from(whole).map_err(|error| malformed(&error))?;
    parts.path_and_query = Some(whole);
    Uri::from_parts(parts).map_err(|error| malformed(&error))
}

/// The host that the request is for: of its target, or else its one Host header (RFC 9112, 3.2).
pub(super) fn authority<B>(request: &Request<B>) -> Result<Authority, Fault> {
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

/// Makes the request that the guest sees.
///
/// # Errors
/// [`Cause::BodyTooLarge`] when the request says so itself; [`Cause::MalformedRequest`].
pub(crate) fn prepare(
    request: Request<HyperBody>,
    route: &Route<'_>,
    client: &Client,
    exchange: &Arc<Exchange>,
    body_idle: Duration,
) -> Result<Request<WasiBody>, Fault> {
    let (mut parts, body) = request.into_parts();
    let host = route.authority.as_str();
    client.introduce(&mut parts.headers, host, route.prefix);
    let has_files = matches!(route.service.config.target, Target::Files(_));
    let is_prefix = parts.uri.path() == route.prefix;
    let is_rewritten = route.edge.is_some_and(|edge| edge.has_rewrite());
    if has_files && (is_prefix || is_rewritten) {
        let name = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let name = name.to_owned();
        parts.extensions.insert(LastName { name, is_prefix });
    }
    parts.uri = inner_uri(&parts, route, &client.scheme)?;
    let request = Request::from_parts(parts, body);
    bounded(request, route.service, exchange, body_idle)
}

/// The request as a guest of `service` gets it: with its id, and with no more of a body than the service takes.
///
/// # Errors
/// [`Cause::BodyTooLarge`] when the request says so itself.
pub(crate) fn bounded<B>(
    request: Request<B>,
    service: &Service,
    exchange: &Arc<Exchange>,
    body_idle: Duration,
) -> Result<Request<WasiBody>, Fault>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<WasiError>,
{
    let (mut parts, body) = request.into_parts();
    let limit = service.config.limits.body;
    if let Some(length) = content_length(&parts.headers).filter(|length| *length > limit) {
        return Err(Fault::new(
            Cause::BodyTooLarge,
            format!("the body has {length} bytes; [limits] body allows {limit}"),
        ));
    }
    exchange.id.insert(&mut parts.headers);
    let body = Incoming::boxed(body, limit, body_idle, exchange);
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

fn inner_uri(parts: &Parts, route: &Route<'_>, scheme: &Scheme) -> Result<Uri, Fault> {
    let path = strip_prefix(parts.uri.path(), route.prefix);
    let malformed =
        |error: &dyn std::fmt::Display| Fault::new(Cause::MalformedRequest, error.to_string());
    let path_and_query: PathAndQuery = match (parts.uri.query(), parts.uri.path_and_query()) {
        (None, Some(whole)) if whole.path() == path => whole.clone(),
        (None, _) => path.parse().map_err(|error| malformed(&error))?,
        (Some(query), _) => format!("{path}?{query}")
            .parse()
            .map_err(|error| malformed(&error))?,
    };
    let mut inner = uri::Parts::default();
    inner.scheme = Some(scheme.clone());
    inner.authority = Some(route.authority.clone());
    inner.path_and_query = Some(path_and_query);
    Uri::from_parts(inner).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
    fn paths_are_normalised_and_those_with_dots_refused() {
        for (target, expected) in [
            ("/%70rivate/x?%70=%2e./", Some("/private/x?%70=%2e./")),
            ("http://here/%61?q", Some("http://here/a?q")),
            ("/a%2fb", Some("/a%2Fb")),
            ("/a/b?../c", Some("/a/b?../c")),
            ("*", Some("*")),
            ("/public/../admin/x", None),
            ("/public/%2e%2E/admin/x", None),
            ("/public/.%2E/admin/x", None),
            ("/public/..%2fadmin/x", None),
            ("/.", None),
            ("http://here/..", None),
        ] {
            let mut request = request(target, &["here"]);
            let outcome = normalise(&mut request);
            match expected {
                Some(expected) => assert_eq!(request.uri().to_string(), expected),
                None => assert_eq!(outcome.unwrap_err().cause, Cause::MalformedRequest),
            }
        }
    }
}
