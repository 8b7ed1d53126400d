//! Which service answers a request: host, then path, then method, the most specific first.
//!
//! A route without a host or without methods stands behind every route that names them. Paths are matched as
//! they are normalised, in patterns and requests alike, and services get the same: nothing is decoded or resolved
//! later that a route has not seen. A look-up costs what the path's segments cost, whatever the number of routes.

mod host;
mod method;
mod normal;
mod path;
mod table;
mod template;
mod tree;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::host::{HostError, HostPattern, normalise as normalise_host};
pub use self::method::{Method, MethodError};
pub use self::normal::{has_dot_segment, normalised};
pub use self::path::{PathError, PathPattern, strip_prefix};
pub use self::table::{Found, RouteConflict, RouteTable};
pub use self::template::{Template, TemplateError};

use crate::name::ServiceName;

/// One route of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Hosts that the route answers; `None` for any.
    pub host: Option<HostPattern>,
    /// Paths that the route answers.
    pub path: PathPattern,
    /// Methods that the route answers; `None` for any. `GET` answers `HEAD` as well.
    pub methods: Option<Vec<Method>>,
    /// Whether the service sees the path without the literal segments before the first parameter.
    pub strip_prefix: bool,
}

/// Requests that a route takes and no other may take with nothing to choose between them: those for one host or any,
/// one shape of paths, and one method or those that no route names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Takes<'a> {
    host: Option<&'a HostPattern>,
    path: &'a [path::Segment],
    method: Option<&'a Method>,
}

impl RouteSpec {
    /// What a drop-in without routes of its own gets: `/NAME` and everything below it, prefix stripped.
    #[must_use]
    pub fn drop_in(name: &ServiceName) -> Vec<Self> {
        PathPattern::below(name)
            .into_iter()
            .map(|path| Self::any(path, true))
            .collect()
    }

    /// Every path on every host: what a single service is served at.
    #[must_use]
    pub fn all() -> Vec<Self> {
        PathPattern::all()
            .into_iter()
            .map(|path| Self::any(path, false))
            .collect()
    }

    /// What no other service's route may take beside this one.
    pub(crate) fn takes(&self) -> impl Iterator<Item = Takes<'_>> {
        let methods = match &self.methods {
            None => vec![None],
            Some(named) => named.iter().map(Some).collect(),
        };
        methods.into_iter().map(|method| Takes {
            host: self.host.as_ref(),
            path: self.path.segments(),
            method,
        })
    }

    fn any(path: PathPattern, strip_prefix: bool) -> Self {
        Self {
            host: None,
            path,
            methods: None,
            strip_prefix,
        }
    }
}
