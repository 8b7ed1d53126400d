//! From a request to its answer.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;

use super::{Api, graph, guard, services};
use crate::telemetry::metrics::{self, Surroundings};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
/// What every resource takes.
const METHODS: &str = "GET, HEAD";

/// An answer before it is made fit for HTTP.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    media_type: &'static str,
    body: Vec<u8>,
    extra: Option<(HeaderName, &'static str)>,
}

/// RFC 9457 problem details.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Something that can be asked for.
#[derive(Debug, PartialEq, Eq)]
enum Resource<'a> {
    Health,
    Readiness,
    Services,
    Graph,
    Service(Cow<'a, str>),
    Metrics,
}

pub(super) fn answer<B: Body>(api: &Api, request: &Request<B>) -> Response<Full<Bytes>> {
    let answer = refusal(api, request)
        .unwrap_or_else(|| resource(api, request.uri().path(), request.method()));
    answer.into_response(request.method())
}

/// Why the request is not even looked at, if it isn't.
fn refusal<B: Body>(api: &Api, request: &Request<B>) -> Option<Answer> {
    if api.loopback && !guard::is_meant_for_this_machine(request) {
        let detail = "the admin API listens on a loopback address and takes requests for `localhost` or an IP address only; \
                      this one names another host, as a web page would that tries to reach it through your browser";
        return Some(Answer::problem(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    let open = matches!(
        Resource::at(request.uri().path()),
        Some(Resource::Health | Resource::Readiness)
    );
    if !open && !guard::is_authorised(api.core.config.admin_token.as_ref(), request.headers()) {
        let detail = "the admin API's token is needed: send `authorization: Bearer TOKEN`";
        let answer = Answer::problem(StatusCode::UNAUTHORIZED, detail);
        return Some(Answer {
            extra: Some((header::WWW_AUTHENTICATE, "Bearer realm=\"skep\"")),
            ..answer
        });
    }
    if !request.body().is_end_stream() {
        let answer = Answer::problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "requests to the admin API have no body",
        );
        return Some(Answer {
            extra: (request.version() < http::Version::HTTP_2)
                .then_some((header::CONNECTION, "close")),
            ..answer
        });
    }
    None
}

fn resource(api: &Api, path: &str, method: &Method) -> Answer {
    let Some(resource) = Resource::at(path) else {
        let detail =
            "there are /healthz, /readyz, /v1/services, /v1/services/NAME, /v1/graph and /metrics";
        return Answer::problem(StatusCode::NOT_FOUND, detail);
    };
    if method != Method::GET && method != Method::HEAD {
        let answer = Answer::problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "the admin API takes GET and HEAD",
        );
        return Answer {
            extra: Some((header::ALLOW, METHODS)),
            ..answer
        };
    }
    match resource {
        Resource::Health => Answer::json(&json!({"status": "ok"})),
        Resource::Readiness => readiness(
            *api.core.first_scan.borrow(),
            api.core.draining.is_cancelled(),
            services::are_required_ones_well(&api.core),
        ),
        Resource::Services => Answer::json(&services::list(&api.core)),
        Resource::Graph => Answer::json(&graph::graph(&api.core)),
        Resource::Service(name) => match services::detail(&api.core, &name) {
            Some(detail) => Answer::json(&detail),
            None => Answer::problem(
                StatusCode::NOT_FOUND,
                "there is no service of this name; /v1/services lists those there are",
            ),
        },
        Resource::Metrics => {
            let surroundings = Surroundings {
                connections: api.gateway.connections(),
                log_lines_dropped: api.log.lines(),
                started: api.started,
            };
            let body = metrics::render(&api.core, &surroundings).into_bytes();
            Answer {
                status: StatusCode::OK,
                media_type: metrics::CONTENT_TYPE,
                body,
                extra: None,
            }
        }
    }
}

fn readiness(first_scan_done: bool, draining: bool, well: bool) -> Answer {
    let (reason, detail) = match (draining, first_scan_done, well) {
        (true, ..) => ("draining", "the host is shutting down"),
        (false, false, _) => (
            "starting",
            "what was there at the start has not all been deployed or refused yet",
        ),
        (false, true, false) => (
            "unhealthy",
            "a service with [health] required = true is unhealthy; see /v1/services",
        ),
        (false, true, true) => return Answer::json(&json!({"status": "ready"})),
    };
    Answer::problem_for(StatusCode::SERVICE_UNAVAILABLE, detail, Some(reason))
}

impl<'a> Resource<'a> {
    fn at(path: &'a str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Readiness),
            "/v1/services" => Some(Self::Services),
            "/v1/graph" => Some(Self::Graph),
            "/metrics" => Some(Self::Metrics),
            // Names of drop-ins that never became services may hold anything.
            path => path
                .strip_prefix("/v1/services/")
                .map(|name| Self::Service(percent_decode_str(name).decode_utf8_lossy())),
        }
    }
}

impl Answer {
    fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self {
                status: StatusCode::OK,
                media_type: JSON,
                body,
                extra: None,
            },
            Err(error) => {
                tracing::error!(%error, "an answer of the admin API could not be written as JSON");
                Self::problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the answer could not be written; see the host's log",
                )
            }
        }
    }

    fn problem(status: StatusCode, detail: &str) -> Self {
        Self::problem_for(status, detail, None)
    }

    fn problem_for(status: StatusCode, detail: &str, reason: Option<&'static str>) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        let problem = Problem {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            detail,
            reason,
        };
        // Plain strings and a number: this can't fail.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self {
            status,
            media_type: PROBLEM,
            body,
            extra: None,
        }
    }

    fn into_response(self, method: &Method) -> Response<Full<Bytes>> {
        let length = self.body.len();
        let body = if method == Method::HEAD {
            Bytes::new()
        } else {
            Bytes::from(self.body)
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.media_type),
        );
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some((name, value)) = self.extra {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_resources() {
        for (path, expected) in [
            ("/healthz", Some(Resource::Health)),
            ("/v1/services", Some(Resource::Services)),
            ("/v1/graph", Some(Resource::Graph)),
            (
                "/v1/services/hello",
                Some(Resource::Service("hello".into())),
            ),
            (
                "/v1/services/My%20Service%2F..",
                Some(Resource::Service("My Service/..".into())),
            ),
            (
                "/v1/services/%ff",
                Some(Resource::Service("\u{fffd}".into())),
            ),
            ("/", None),
            ("/v1", None),
            ("/healthz/", None),
            ("*", None),
        ] {
            assert_eq!(Resource::at(path), expected, "{path}");
        }
    }

    #[test]
    fn readiness_names_its_reason() {
        let reason = |answer: Answer| {
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            (
                answer.status.as_u16(),
                body["reason"].as_str().map(str::to_owned),
            )
        };
        assert_eq!(
            reason(readiness(false, false, true)),
            (503, Some("starting".into()))
        );
        assert_eq!(reason(readiness(true, false, true)), (200, None));
        assert_eq!(
            reason(readiness(true, false, false)),
            (503, Some("unhealthy".into()))
        );
        assert_eq!(
            reason(readiness(true, true, true)),
            (503, Some("draining".into()))
        );
        assert_eq!(
            reason(readiness(false, true, false)),
            (503, Some("draining".into()))
        );
    }
}
