//! The table of all routes: one tree of paths a host.

use super::host::{self, HostPattern};
use super::method::Method;
use super::path::PathPattern;
use super::tree::{Endpoint, Map, Node};
use super::{RouteSpec, Takes};
use crate::name::ServiceName;

/// All routes of all services; immutable once built.
#[derive(Debug)]
pub struct RouteTable<T> {
    routes: Vec<Entry<T>>,
    /// Trees hold places in `routes`.
    exact: Map<String, Node<usize>>,
    /// By what follows the `*.`.
    wildcard: Map<String, Node<usize>>,
    any: Node<usize>,
}

#[derive(Debug)]
struct Entry<T> {
    service: ServiceName,
    path: PathPattern,
    /// How much of a path the service shall not see.
    prefix_bytes: usize,
    value: T,
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'t, T> {
    /// A route takes the request.
    Match {
        /// What the route was built with.
        value: &'t T,
        /// The start of the path that the service shall not see; empty if nothing is stripped.
        prefix: &'t str,
    },
    /// Routes take the host and path, with other methods only.
    WrongMethod {
        /// The methods they take, sorted.
        allow: Vec<&'t str>,
    },
    /// No route takes the host and path.
    None,
}

/// Two routes that would take the same requests with nothing to choose between them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "service {} route {} and service {} route {} both take {} on {}: \
     change the path, host or methods of one of them",
    routes[0].0, routes[0].1, routes[1].0, routes[1].1,
    .method.as_ref().map_or("any method", Method::as_str),
    .host.as_ref().map_or("any host".to_owned(), |host| format!("host {host}"))
)]
pub struct RouteConflict {
    /// Both services and their patterns.
    pub routes: Box<[(ServiceName, PathPattern); 2]>,
    /// The host of both; `None` if both take any.
    pub host: Option<HostPattern>,
    /// A method that both name; `None` if neither names any.
    pub method: Option<Method>,
}

impl RouteConflict {
    /// The conflict over what both routes take.
    pub(crate) fn between(
        one: (&ServiceName, &RouteSpec),
        other: (&ServiceName, &RouteSpec),
        takes: &Takes<'_>,
    ) -> Self {
        let named =
            |(service, route): (&ServiceName, &RouteSpec)| (service.clone(), route.path.clone());
        Self {
            routes: Box::new([named(one), named(other)]),
            host: takes.host.cloned(),
            method: takes.method.cloned(),
        }
    }
}

impl<T> RouteTable<T> {
    /// Builds the table; the order of the routes makes no difference.
    ///
    /// # Errors
    /// If two routes have the same host, paths of the same shape (parameters' names aside) and a method in
    /// common, or neither has methods. Of several such pairs the same one is named whatever the order.
    pub fn build(
        routes: impl IntoIterator<Item = (RouteSpec, ServiceName, T)>,
    ) -> Result<Self, RouteConflict> {
        let mut routes: Vec<_> = routes.into_iter().collect();
        routes.sort_by(|(a, a_name, _), (b, b_name, _)| {
            (&a.host, &a.path, &a.methods, a_name).cmp(&(&b.host, &b.path, &b.methods, b_name))
        });
        let mut table = Self::default();
        for (spec, service, value) in routes {
            table.insert(spec, service, value)?;
        }
        Ok(table)
    }

    fn insert(
        &mut self,
        spec: RouteSpec,
        service: ServiceName,
        value: T,
    ) -> Result<(), RouteConflict> {
        let tree = match &spec.host {
            None => &mut self.any,
            Some(host) if host.is_wildcard() => {
                self.wildcard.entry(host.name().to_owned()).or_default()
            }
            Some(host) => self.exact.entry(host.name().to_owned()).or_default(),
        };
        let named = spec.methods.map(|mut methods| {
            methods.sort();
            methods.dedup();
            methods
        });
        let methods: Vec<Option<&Method>> = match &named {
            None => vec![None],
            Some(named) => named.iter().map(Some).collect(),
        };
        for method in methods {
            let Err(other) = tree.insert(spec.path.segments(), method, self.routes.len()) else {
                continue;
            };
            let other = &self.routes[*other];
            return Err(RouteConflict {
                routes: Box::new([
                    (other.service.clone(), other.path.clone()),
                    (service, spec.path),
                ]),
                host: spec.host,
                method: method.cloned(),
            });
        }
        let prefix_bytes = match spec.strip_prefix {
            true => spec.path.literal_prefix().len(),
            false => 0,
        };
        self.routes.push(Entry {
            service,
            path: spec.path,
            prefix_bytes,
            value,
        });
        Ok(())
    }
}

impl<T> RouteTable<T> {
    /// Finds the route for a request: among those that take its host, path and method the one with the most
    /// specific host, then path, then method.
    ///
    /// `host` is the request's as the client spelt it, port and all (empty if there is none); `path` is
    /// normalised, without the query. A path that doesn't start with a slash matches nothing.
    pub fn find(&self, host: &str, path: &str, method: &str) -> Found<'_, T> {
        let Some(path) = path.strip_prefix('/') else {
            return Found::None;
        };
        if let Some(place) = self.search(host, path, &mut |end| end.accept(method)) {
            let entry = &self.routes[*place];
            return Found::Match {
                value: &entry.value,
                prefix: &entry.path.as_str()[..entry.prefix_bytes],
            };
        }
        let mut allow: Vec<&str> = Vec::new();
        self.search(host, path, &mut |end| {
            allow.extend(end.methods());
            None::<()>
        });
        if allow.is_empty() {
            return Found::None;
        }
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        allow.sort_unstable();
        allow.dedup();
        Found::WrongMethod { allow }
    }

    fn search<'t, R>(
        &'t self,
        host: &str,
        path: &str,
        take: &mut impl FnMut(&'t Endpoint<usize>) -> Option<R>,
    ) -> Option<R> {
        if !self.exact.is_empty() || !self.wildcard.is_empty() {
            let host = host::normalise(host);
            let exact = self.exact.get(&*host);
            let wildcard = host::parents(&host).filter_map(|parent| self.wildcard.get(parent));
            for tree in exact.into_iter().chain(wildcard) {
                let found = tree.search(Some(path), take);
                if found.is_some() {
                    return found;
                }
            }
        }
        self.any.search(Some(path), take)
    }
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            exact: Map::default(),
            wildcard: Map::default(),
            any: Node::default(),
        }
    }
}
