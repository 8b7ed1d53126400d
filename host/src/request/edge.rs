//! What the gateway does with the requests of a route: before their service is asked, perhaps in its place, and with what
//! it answers. A route without policies has none of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use skep_policy::routes::{PathPattern, RouteSpec, Template};
use skep_policy::websocket;
use wasmtime_wasi_http::WasiBody;

use self::auth::Auth;
use self::compress::{Compressing, Taker};
use self::cors::{Asker, Permission};
use self::edits::Edits;
use self::once::{Found, Once, Ticket};
use super::body::coded::Encoder;
use super::body::early::Early;
use super::dispatch;
use super::exchange::Exchange;
use super::headers::{quota_policy, remove_alike};
use super::run::Answered;
use super::run::sender::Sender;
use super::send;
use super::tolerate::rate::{self, Buckets, Subject};
use crate::config::ServiceConfig;
use crate::config::edge::{EdgeConfig, EdgeRate, RouteAnswer, RouteEdge, Setting};
use crate::config::network::Network;
use crate::config::service::tolerance::RateLimit;
use crate::fault::{Cause, Fault};
use crate::host::Core;

pub(crate) mod auth;
mod compress;
pub(super) mod cors;
mod edits;
pub(super) mod once;

/// The policies of one route.
#[derive(Debug)]
pub(crate) struct Edge {
    /// The paths of the route.
    path: PathPattern,
    maintenance: Option<Closed>,
    cors: Option<Permission>,
    compression: Option<Compressing>,
    /// Headers in which the service is told of who asks, on this route or another.
    told: Vec<HeaderName>,
    auth: Option<Auth>,
    rate: Option<Rate>,
    once: Option<Once>,
    answer: Option<Own>,
    rewrite: Option<Template>,
    request_headers: Option<Edits>,
    response_headers: Option<Edits>,
    websocket: Option<websocket::Settings>,
}

/// Why no service is asked, whatever it is.
#[derive(Debug)]
struct Closed {
    except: Vec<Network>,
    answer: Response<Bytes>,
}

/// What the route answers itself.
#[derive(Debug)]
enum Own {
    Always(Response<Bytes>),
    Redirect { to: Template, status: StatusCode },
}

impl Closed {
    fn is_open_to(&self, exchange: &Exchange) -> bool {
        let client = exchange.journey.client;
        client.is_some_and(|client| self.except.iter().any(|network| network.contains(client)))
    }
}

impl Own {
    fn of(answer: &RouteAnswer) -> Self {
        match answer {
            RouteAnswer::Respond(answer) => Self::Always(send::always_the_same(answer)),
            RouteAnswer::Redirect { to, status } => Self::Redirect {
                to: to.clone(),
                status: StatusCode::from_u16(*status).unwrap_or_default(),
            },
        }
    }
}

/// How many requests there may be.
#[derive(Debug)]
struct Rate {
    limit: RateLimit,
    /// As answers say it.
    policy: HeaderValue,
    buckets: Arc<Buckets>,
}

impl Rate {
    /// That of one service, or of all.
    fn of(rate: &EdgeRate, service: Option<&ServiceConfig>, core: &Core) -> Self {
        let extent = (service.map(|of| of.name.clone()), rate.route.clone());
        Self {
            buckets: core.limits.buckets(extent, &rate.limit.settings),
            policy: quota_policy(&rate.limit.settings),
            limit: rate.limit.clone(),
        }
    }

    fn count(&self, request: &Request<WasiBody>, exchange: &Exchange) -> Result<(), Fault> {
        let Self { limit, buckets, .. } = self;
        let verdict = buckets.take(Subject::of(&limit.key, request, exchange));
        rate::obey(verdict, limit, self.policy.clone(), exchange)
    }
}

/// The headers in which a service is told of claims.
fn claims(policies: &EdgeConfig) -> Vec<String> {
    let jwt = policies.auth.get().and_then(|auth| auth.jwt.as_ref());
    jwt.map_or_else(Vec::new, |jwt| jwt.claims.keys().cloned().collect())
}

impl Edge {
    /// Those of a service's routes, in their order, over those of all; none if there is nothing to do.
    pub(crate) fn of_routes(service: &ServiceConfig, core: &Core) -> Vec<Option<Arc<Self>>> {
        if !Self::may_be_for(service, core) {
            return Vec::new();
        }
        let plain = RouteEdge::default();
        let of_route = |at| service.edges.get(at).unwrap_or(&plain);
        let count = service.routes.len();
        // What a service is told of who asks on one route, nobody says on another.
        let told: BTreeSet<_> = (0..count)
            .flat_map(|at| claims(&of_route(at).policies.over(&core.config.edge)))
            .collect();
        let told: Vec<_> = told
            .iter()
            .filter_map(|name| HeaderName::try_from(name).ok())
            .collect();
        let routes = service.routes.iter().enumerate();
        let edges = routes.map(|(at, route)| Self::of(service, route, of_route(at), &told, core));
        edges.collect()
    }

    /// Whether any of a service's routes may have policies.
    pub(crate) fn may_be_for(service: &ServiceConfig, core: &Core) -> bool {
        !service.edges.is_empty() || core.config.edge != EdgeConfig::default()
    }

    fn of(
        service: &ServiceConfig,
        spec: &RouteSpec,
        route: &RouteEdge,
        told: &[HeaderName],
        core: &Core,
    ) -> Option<Arc<Self>> {
        let policies = route.policies.over(&core.config.edge);
        let is_plain = route.answer.is_none() && route.rewrite.is_none();
        if is_plain && told.is_empty() && route.websocket.is_none() && policies.is_idle() {
            return None;
        }
        let auth = policies.auth.get();
        let once = policies.idempotency.get();
        let rate = policies.rate_limit.get();
        let is_of_all = route.policies.rate_limit == Setting::Inherited;
        let whose = (!is_of_all).then_some(service);
        Some(Arc::new(Self {
            path: spec.path.clone(),
            maintenance: policies.maintenance.get().map(|maintenance| Closed {
                except: maintenance.except.clone(),
                answer: send::always_the_same(&maintenance.answer),
            }),
            cors: policies.cors.get().map(Permission::of),
            compression: policies.compression.get().map(Compressing::of),
            told: told.to_vec(),
            auth: auth.map(|auth| Auth::new(auth, &core.identities)),
            rate: rate.map(|rate| Rate::of(rate, whose, core)),
            once: once.map(|policy| Once::of(policy, service, spec)),
            answer: route.answer.as_ref().map(Own::of),
            rewrite: route.rewrite.clone(),
            request_headers: policies.request_headers.get().map(Edits::of),
            response_headers: policies.response_headers.get().map(Edits::of),
            websocket: route.websocket.clone(),
        }))
    }

    /// Whether it answers preflights.
    pub(super) fn has_cors(&self) -> bool {
        self.cors.is_some()
    }

    /// Whether services see another path than clients.
    pub(super) fn has_rewrite(&self) -> bool {
        self.rewrite.is_some()
    }

    /// What the route's WebSockets may use, if it has any.
    pub(crate) fn websocket(&self) -> Option<&websocket::Settings> {
        self.websocket.as_ref()
    }
}

/// One request's way through the policies of its route.
#[derive(Debug)]
pub(crate) struct Passage {
    edge: Arc<Edge>,
    /// What the client asked for.
    asked: Uri,
    asker: Asker,
    taker: Taker,
}

/// What comes of a request at the gateway.
pub(crate) enum Entered {
    /// It goes to its service.
    Goes(Request<WasiBody>),
    /// It goes to its service, and what that answers is kept.
    GoesOnce(Request<WasiBody>, Ticket),
    /// It is answered here.
    Answered(Answered),
}

impl Passage {
    /// Of a request as the client sent it.
    pub(crate) fn new<B>(edge: &Arc<Edge>, request: &Request<B>, is_preflight: bool) -> Self {
        let (cors, compression) = (edge.cors.as_ref(), edge.compression.as_ref());
        Self {
            edge: edge.clone(),
            asked: request.uri().clone(),
            asker: cors.map_or_else(Asker::default, |_| Asker::of(request, is_preflight)),
            taker: compression.map_or_else(Taker::default, |_| Taker::of(request)),
        }
    }

    /// Before the service is asked. The request is as the service is to get it.
    ///
    /// # Errors
    /// Why the request goes no further.
    pub(crate) async fn enter(
        &self,
        core: &Arc<Core>,
        mut request: Request<WasiBody>,
        exchange: &Exchange,
    ) -> Result<Entered, Fault> {
        let edge = &self.edge;
        // Before all else: without it no browser would tell its page what the answer proper is.
        if self.asker.is_preflight {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            return Ok(Entered::Answered(answered(answer)));
        }
        if let Some(closed) = &edge.maintenance
            && !closed.is_open_to(exchange)
        {
            return Ok(Entered::Answered(answered(closed.answer.clone())));
        }
        remove_alike(request.headers_mut(), &edge.told);
        // Before it is verified who asks, so that guesses count; unless they are counted by who it is.
        let rate = edge.rate.as_ref();
        if let Some(rate) = rate.filter(|rate| !rate.limit.key.is_of_identity()) {
            rate.count(&request, exchange)?;
        }
        if let Some(auth) = &edge.auth {
            auth.enter(request.headers_mut(), exchange).await?;
        }
        if let Some(rate) = rate.filter(|rate| rate.limit.key.is_of_identity()) {
            rate.count(&request, exchange)?;
        }
        match &edge.answer {
            Some(Own::Always(answer)) => {
                return Ok(Entered::Answered(answered(answer.clone())));
            }
            Some(Own::Redirect { to, status }) => {
                let answer = self.redirect(to, *status)?;
                return Ok(Entered::Answered(answered(answer)));
            }
            None => {}
        }
        let (mut request, ticket) = match &edge.once {
            None => (request, None),
            Some(once) => {
                // Of one version of HTTP a target is a path, of another a URL.
                let asked = self.asked.path_and_query().map_or("", PathAndQuery::as_str);
                // On the heap, so that requests of other routes are no larger for it.
                match Box::pin(once.look(core, exchange, request, asked)).await? {
                    Found::Goes(request) => (request, None),
                    Found::First(request, ticket) => (request, Some(ticket)),
                    Found::Answered(answered) => return Ok(Entered::Answered(answered)),
                }
            }
        };
        if let Some(rewrite) = &edge.rewrite {
            let path = rewrite.fill(&edge.path, self.asked.path());
            // A template can put dots beside what a parameter stands for.
            dispatch::no_dot_segment(&path)?;
            *request.uri_mut() = dispatch::with_path(request.uri(), &path)?;
        }
        if let Some(edits) = &edge.request_headers {
            edits.apply(request.headers_mut());
        }
        Ok(match ticket {
            Some(ticket) => Entered::GoesOnce(request, ticket),
            None => Entered::Goes(request),
        })
    }

    /// Makes a head that of the answer as the client gets it, whoever gave it; what its body, of `exact` bytes if that is
    /// known, is coded with, if it is.
    pub(crate) fn leave(&self, head: &mut Parts, exact: Option<u64>) -> Option<Encoder> {
        if let Some(edits) = &self.edge.response_headers {
            edits.apply(&mut head.headers);
        }
        if let Some(permission) = &self.edge.cors {
            permission.grant(&self.asker, &mut head.headers);
        }
        let compressing = self.edge.compression.as_ref()?;
        compressing.apply(&self.taker, head, exact)
    }

    fn redirect(&self, to: &Template, status: StatusCode) -> Result<Response<Bytes>, Fault> {
        let mut location = to.fill(&self.edge.path, self.asked.path());
        if let (Some(query), false) = (self.asked.query(), to.has_query()) {
            location.push('?');
            location.push_str(query);
        }
        let location = HeaderValue::try_from(location).map_err(malformed)?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }
}

/// Says that an answer depends on a header of the request, if it does not say so yet.
fn say_varies(headers: &mut HeaderMap, name: &'static str) {
    let all = headers.get_all(header::VARY).iter();
    let mut named = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim));
    if !named.any(|other| other == "*" || other.eq_ignore_ascii_case(name)) {
        headers.append(header::VARY, HeaderValue::from_static(name));
    }
}

fn malformed(error: impl std::fmt::Display) -> Fault {
    Fault::new(Cause::MalformedRequest, error)
}

/// An answer of the host's own.
pub(crate) fn answered(response: Response<Bytes>) -> Answered {
    let (mut head, body) = response.into_parts();
    head.headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let body: WasiBody = match body.is_empty() {
        true => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        false => Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync(),
    };
    Answered {
        response: Response::from_parts(head, Early::of(body)),
        sender: Sender::Host,
    }
}
