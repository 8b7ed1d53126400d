//! The table against a matcher too simple to be wrong, over random routes and requests.

use proptest::prelude::*;

use super::{name, spec};
use crate::routes::*;

/// Whether `pattern` takes `path`, and if so how specific it is at each segment (less is more specific).
fn rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let mut path = path.strip_prefix('/');
    let mut ranks = Vec::new();
    for piece in pattern.strip_prefix('/')?.split('/') {
        if piece.starts_with("{*") {
            ranks.push(2);
            return (!path?.is_empty()).then_some(ranks);
        }
        let (segment, below) = match path?.split_once('/') {
            Some((segment, below)) => (segment, Some(below)),
            None => (path?, None),
        };
        match piece.starts_with('{') {
            true if !segment.is_empty() => ranks.push(1),
            false if segment == piece => ranks.push(0),
            _ => return None,
        }
        path = below;
    }
    path.is_none().then_some(ranks)
}

fn host_rank(pattern: Option<&HostPattern>, host: &str) -> Option<usize> {
    match pattern {
        None => Some(usize::MAX),
        Some(pattern) if !pattern.matches(host) => None,
        Some(pattern) if pattern.is_wildcard() => Some(1_000 - pattern.name().len()),
        Some(_) => Some(0),
    }
}

fn method_rank(methods: Option<&Vec<Method>>, method: &str) -> Option<u8> {
    let names = |method| {
        methods.is_some_and(|methods| methods.iter().any(|named| named.as_str() == method))
    };
    match methods {
        None => Some(2),
        Some(_) if names(method) => Some(0),
        Some(_) if method == "HEAD" && names("GET") => Some(1),
        Some(_) => None,
    }
}

/// The matching rules as one would tell them, at the cost of a look at every route.
fn naive<'a>(
    routes: &'a [(RouteSpec, usize)],
    host: &str,
    path: &str,
    method: &str,
) -> Found<'a, usize> {
    let here: Vec<_> = routes
        .iter()
        .filter_map(|(spec, value)| {
            let rank = (
                host_rank(spec.host.as_ref(), host)?,
                rank(spec.path.as_str(), path)?,
            );
            Some((rank, spec, value))
        })
        .collect();
    let best = here
        .iter()
        .filter_map(|(rank, spec, value)| {
            Some((rank, method_rank(spec.methods.as_ref(), method)?, *value))
        })
        .min_by_key(|(rank, method_rank, _)| (*rank, *method_rank));
    if let Some((.., value)) = best {
        return Found::Match { value, prefix: "" };
    }
    let mut allow: Vec<&str> = here
        .iter()
        .flat_map(|(_, spec, _)| spec.methods.iter().flatten().map(Method::as_str))
        .collect();
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    allow.sort_unstable();
    allow.dedup();
    if allow.is_empty() {
        Found::None
    } else {
        Found::WrongMethod { allow }
    }
}

fn any_route() -> impl Strategy<Value = RouteSpec> {
    let methods = prop::option::weighted(0.6, "(GET|POST|HEAD|PUT)(,(GET|POST|DELETE)){0,2}");
    let host = prop::option::weighted(
        0.5,
        prop::sample::select(vec!["a.b", "*.b", "*.a.b", "b", "[::1]"]),
    );
    let path = "(/(a|b|\\{x\\}|)){1,4}(/\\{\\*r\\})?";
    (methods, host, path).prop_map(|(methods, host, path)| {
        // Parameters of one pattern need names of their own.
        let mut count = 0;
        let path: Vec<String> = path
            .split("{x}")
            .map(|piece| {
                count += 1;
                format!("{piece}{{x{count}}}")
            })
            .collect();
        let path = path.concat();
        let path = path.strip_suffix(&format!("{{x{count}}}")).unwrap();
        let methods = methods.map_or(String::new(), |methods| format!("{methods} "));
        spec(&format!("{methods}{}{path}", host.unwrap_or("")))
    })
}

/// Routes without conflict: what doesn't go with those before it is left out.
fn any_routes() -> impl Strategy<Value = Vec<(RouteSpec, usize)>> {
    prop::collection::vec(any_route(), 0..24).prop_map(|candidates| {
        let mut routes: Vec<(RouteSpec, usize)> = Vec::new();
        for (i, spec) in candidates.into_iter().enumerate() {
            if !routes.iter().any(|(other, _)| overlap(other, &spec)) {
                routes.push((spec, i));
            }
        }
        routes
    })
}

fn build(routes: &[(RouteSpec, usize)]) -> Result<RouteTable<usize>, RouteConflict> {
    RouteTable::build(
        routes
            .iter()
            .cloned()
            .map(|(spec, value)| (spec, name("s"), value)),
    )
}

fn any_request() -> impl Strategy<Value = (String, String, String)> {
    (
        "(a\\.b|B|x\\.b|x\\.a\\.b:80|\\[0::1\\]:1|c|)",
        "(/(a|b|c|)){1,5}",
        "(GET|HEAD|POST|PUT|DELETE|PATCH)",
    )
}

fn shape(spec: &RouteSpec) -> Vec<&str> {
    let piece = |piece: &'static str| piece;
    spec.path
        .as_str()
        .split('/')
        .map(|segment| match segment {
            rest if rest.starts_with("{*") => piece("{*}"),
            parameter if parameter.starts_with('{') => piece("{}"),
            literal => literal,
        })
        .collect()
}

fn overlap(a: &RouteSpec, b: &RouteSpec) -> bool {
    let methods = match (&a.methods, &b.methods) {
        (None, None) => true,
        (Some(a), Some(b)) => a.iter().any(|method| b.contains(method)),
        _ => false,
    };
    methods && a.host == b.host && shape(a) == shape(b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_agrees_with_a_look_at_every_route(
        routes in any_routes(), requests in prop::collection::vec(any_request(), 1..24)
    ) {
        let table = build(&routes).unwrap();
        for (host, path, method) in requests {
            prop_assert_eq!(
                table.find(&host, &path, &method),
                naive(&routes, &host, &path, &method),
                "{} {}{}", method, host, path
            );
        }
    }

    #[test]
    fn the_order_of_the_routes_makes_no_difference(
        (routes, shuffled) in prop::collection::vec((any_route(), any::<usize>()), 0..16)
            .prop_flat_map(|routes| (Just(routes.clone()), Just(routes).prop_shuffle())),
        requests in prop::collection::vec(any_request(), 1..8)
    ) {
        match (build(&routes), build(&shuffled)) {
            (Ok(one), Ok(other)) => for (host, path, method) in requests {
                prop_assert_eq!(one.find(&host, &path, &method), other.find(&host, &path, &method));
            },
            (Err(one), Err(other)) => prop_assert_eq!(one, other),
            (one, other) => prop_assert!(false, "{:?} but {:?}", one.err(), other.err()),
        }
    }

    #[test]
    fn exactly_the_routes_that_overlap_conflict(a in any_route(), b in any_route()) {
        let conflict = build(&[(a.clone(), 0), (b.clone(), 1)]).is_err();
        prop_assert_eq!(conflict, overlap(&a, &b), "{:?} {:?}", a, b);
    }

    #[test]
    fn any_request_gets_an_answer(host in ".{0,20}", path in ".{0,20}|/.{0,20}", method in ".{0,8}") {
        let all: Vec<_> = RouteSpec::all().into_iter().map(|spec| (spec, 0)).collect();
        let found = build(&all).unwrap().find(&host, &path, &method) == Found::None;
        prop_assert_eq!(found, !path.starts_with('/'));
    }
}
