//! What can be asked for, how, and by whom.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use crate::config::Role;

/// Something that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Health,
    Readiness,
    OpenApi,
    Services,
    Service(Cow<'a, str>),
    History(Cow<'a, str>),
    /// How the newest candidate answered recorded requests.
    Diff(Cow<'a, str>),
    Command(Cow<'a, str>, Command),
    Artifact(&'a str),
    Deployments,
    Graph,
    Events,
    Logs,
    Audit,
    Metrics,
}

/// What an operator tells a service to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Rollback,
    Promote,
    Pause,
    Resume,
    Abort,
}

/// All paths, for whoever asks for another.
pub(super) const PATHS: &str = "there are /healthz, /readyz, /metrics, and under /v1: services, services/NAME, \
                                services/NAME/history, services/NAME/diff, artifacts/DIGEST, deployments, graph, events, logs, audit and \
                                openapi.json, which says more";

impl<'a> Resource<'a> {
    pub(super) fn at(path: &'a str) -> Option<Self> {
        match path {
            "/healthz" => return Some(Self::Health),
            "/readyz" => return Some(Self::Readiness),
            "/metrics" => return Some(Self::Metrics),
            _ => {}
        }
        let path = path.strip_prefix("/v1/")?;
        if let Some(digest) = path.strip_prefix("artifacts/") {
            return Some(Self::Artifact(digest));
        }
        let Some(rest) = path.strip_prefix("services/") else {
            return match path {
                "openapi.json" => Some(Self::OpenApi),
                "services" => Some(Self::Services),
                "deployments" => Some(Self::Deployments),
                "graph" => Some(Self::Graph),
                "events" => Some(Self::Events),
                "logs" => Some(Self::Logs),
                "audit" => Some(Self::Audit),
                _ => None,
            };
        };
        let (name, what) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() || rest.ends_with('/') {
            return None;
        }
        // Names of drop-ins that never became services may hold anything.
        let name = percent_decode_str(name).decode_utf8_lossy();
        match what {
            "" => Some(Self::Service(name)),
            "diff" => Some(Self::Diff(name)),
            "history" => Some(Self::History(name)),
            "rollback" => Some(Self::Command(name, Command::Rollback)),
            "promote" => Some(Self::Command(name, Command::Promote)),
            "pause" => Some(Self::Command(name, Command::Pause)),
            "resume" => Some(Self::Command(name, Command::Resume)),
            "abort" => Some(Self::Command(name, Command::Abort)),
            _ => None,
        }
    }

    /// What it takes, for `Allow`.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Service(_) => "GET, HEAD, PUT, DELETE",
            Self::Artifact(_) => "PUT",
            Self::Command(..) | Self::Deployments => "POST",
            _ => "GET, HEAD",
        }
    }

    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods()
            .split(", ")
            .any(|taken| taken == method.as_str())
    }

    /// Who may ask for it; None for everybody.
    pub(super) fn role(&self, method: &Method) -> Option<Role> {
        match self {
            Self::Health | Self::Readiness if is_safe(method) => None,
            Self::Audit => Some(Role::Admin),
            _ if is_safe(method) => Some(Role::Read),
            _ => Some(Role::Deploy),
        }
    }
}

/// Whether a method only looks (RFC 9110, 9.2.1).
pub(super) fn is_safe(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
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
            (
                "/v1/services/a/rollback",
                Some(Resource::Command("a".into(), Command::Rollback)),
            ),
            (
                "/v1/services/a/history",
                Some(Resource::History("a".into())),
            ),
            (
                "/v1/artifacts/sha256:1",
                Some(Resource::Artifact("sha256:1")),
            ),
            ("/v1/services/", None),
            ("/v1/services/a/", None),
            ("/v1/services/a/b", None),
            ("/v1/services/a/rollback/", None),
            ("/", None),
            ("/v1", None),
            ("/healthz/", None),
            ("*", None),
        ] {
            assert_eq!(Resource::at(path), expected, "{path}");
        }
    }

    #[test]
    fn who_only_looks_changes_nothing() {
        for path in [
            "/v1/services/a",
            "/v1/services/a/rollback",
            "/v1/deployments",
            "/v1/artifacts/x",
        ] {
            let resource = Resource::at(path).unwrap();
            for method in [Method::PUT, Method::POST, Method::DELETE] {
                if resource.takes(&method) {
                    assert_eq!(
                        resource.role(&method),
                        Some(Role::Deploy),
                        "{method} {path}"
                    );
                }
            }
        }
        assert_eq!(Resource::Audit.role(&Method::GET), Some(Role::Admin));
        assert_eq!(Resource::Services.role(&Method::GET), Some(Role::Read));
    }
}
