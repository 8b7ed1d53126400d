//! The rules of matching, one by one.

mod agreement;

use super::tree::visits;
use super::*;

fn name(text: &str) -> ServiceName {
    ServiceName::try_from(text).unwrap()
}

/// Reads `[METHOD,METHOD ][HOST]/PATH`.
fn spec(text: &str) -> RouteSpec {
    let (methods, place) = match text.split_once(' ') {
        Some((methods, place)) => (Some(methods), place),
        None => (None, text),
    };
    let slash = place.find('/').unwrap();
    RouteSpec {
        host: (slash > 0).then(|| HostPattern::try_from(&place[..slash]).unwrap()),
        path: PathPattern::try_from(&place[slash..]).unwrap(),
        methods: methods.map(|methods| {
            methods
                .split(',')
                .map(|method| Method::try_from(method).unwrap())
                .collect()
        }),
        strip_prefix: false,
    }
}

/// A table whose routes' values are the texts they were read from.
fn table(routes: &[&'static str]) -> RouteTable<&'static str> {
    RouteTable::build(routes.iter().map(|text| (spec(text), name("s"), *text))).unwrap()
}

/// What `METHOD HOST/PATH` finds: the route's text, `405 ALLOW` or `404`.
fn find(table: &RouteTable<&'static str>, request: &str) -> String {
    let (method, place) = request.split_once(' ').unwrap();
    let slash = place.find('/').unwrap();
    match table.find(&place[..slash], &place[slash..], method) {
        Found::Match { value, .. } => (*value).to_owned(),
        Found::WrongMethod { allow } => format!("405 {}", allow.join(",")),
        Found::None => "404".to_owned(),
    }
}

#[test]
fn a_literal_beats_a_parameter_and_a_parameter_beats_the_rest() {
    let table = table(&["/a/b", "/a/{x}", "/a/{*rest}", "/{*rest}", "/"]);
    for (request, route) in [
        ("GET /a/b", "/a/b"),
        ("GET /a/c", "/a/{x}"),
        ("GET /a/c/d", "/a/{*rest}"),
        ("GET /a/c/", "/a/{*rest}"),
        ("GET /a//", "/a/{*rest}"),
        ("GET /a", "/{*rest}"),
        ("GET /a/", "/{*rest}"),
        ("GET /", "/"),
    ] {
        assert_eq!(find(&table, request), route, "{request}");
    }
}

#[test]
fn a_literal_that_leads_nowhere_gives_way() {
    let table = table(&["/a/b/c", "/{x}/b/d", "/a/{y}/e/f", "/{*rest}"]);
    for (request, route) in [
        ("GET /a/b/c", "/a/b/c"),
        ("GET /a/b/d", "/{x}/b/d"),
        ("GET /a/b/e/f", "/a/{y}/e/f"),
        ("GET /a/b/e/g", "/{*rest}"),
    ] {
        assert_eq!(find(&table, request), route, "{request}");
    }
}

#[test]
fn neither_parameter_nor_rest_stands_for_nothing() {
    let table = table(&["/a/{x}", "/b/{*rest}"]);
    for request in [
        "GET /a",
        "GET /a/",
        "GET /b",
        "GET /b/",
        "GET /",
        "GET /a/x/",
    ] {
        assert_eq!(find(&table, request), "404", "{request}");
    }
}

#[test]
fn an_exact_host_beats_a_wildcard_and_a_wildcard_beats_none() {
    let table = table(&[
        "a.example.com/x",
        "*.example.com/{y}",
        "*.a.example.com/{y}",
        "/x",
        "/z/z",
    ]);
    for (request, route) in [
        ("GET a.example.com/x", "a.example.com/x"),
        ("GET A.Example.Com.:8080/x", "a.example.com/x"),
        ("GET b.example.com/x", "*.example.com/{y}"),
        ("GET b.a.example.com/x", "*.a.example.com/{y}"),
        ("GET a.example.com/other", "*.example.com/{y}"),
        ("GET a.example.com/z/z", "/z/z"),
        ("GET example.com/x", "/x"),
        ("GET /x", "/x"),
        ("GET example.com/other", "404"),
    ] {
        assert_eq!(find(&table, request), route, "{request}");
    }
}

#[test]
fn a_route_that_names_the_method_beats_one_that_names_none() {
    let table = table(&["/a", "POST /a", "GET /b/{x}", "/b/{*rest}"]);
    for (request, route) in [
        ("POST /a", "POST /a"),
        ("GET /a", "/a"),
        ("GET /b/c", "GET /b/{x}"),
        ("PUT /b/c", "/b/{*rest}"),
    ] {
        assert_eq!(find(&table, request), route, "{request}");
    }
}

#[test]
fn the_most_specific_path_is_sought_among_routes_that_take_the_method() {
    let table = table(&["GET /a/b", "POST /a/{x}", "DELETE h/a/b"]);
    assert_eq!(find(&table, "POST /a/b"), "POST /a/{x}");
    assert_eq!(find(&table, "GET h/a/b"), "GET /a/b");
}

#[test]
fn head_falls_to_routes_that_take_get() {
    let table = table(&[
        "GET /a",
        "/a",
        "HEAD /b",
        "GET /b",
        "POST /c",
        "/c/{x}",
        "GET /{*r}",
    ]);
    for (request, route) in [
        ("HEAD /a", "GET /a"),
        ("HEAD /b", "HEAD /b"),
        ("GET /b", "GET /b"),
        ("HEAD /c", "GET /{*r}"),
        ("HEAD /c/d", "/c/{x}"),
    ] {
        assert_eq!(find(&table, request), route, "{request}");
    }
}

#[test]
fn a_wrong_method_is_told_which_are_right() {
    let table = table(&["PUT,GET /a", "POST /{x}", "DELETE h/a"]);
    assert_eq!(find(&table, "PATCH /a"), "405 GET,HEAD,POST,PUT");
    assert_eq!(find(&table, "PATCH h/a"), "405 DELETE,GET,HEAD,POST,PUT");
    assert_eq!(find(&table, "GET /b"), "405 POST");
    assert_eq!(find(&table, "get /b"), "405 POST");
    assert_eq!(find(&table, "GET /b/c"), "404");
}

#[test]
fn paths_are_matched_as_they_are() {
    let table = table(&["/a", "/a%2Fb", "/a/{*rest}"]);
    for (request, route) in [
        ("GET /a%2Fb", "/a%2Fb"),
        ("GET /a%2fb", "404"),
        ("GET /A", "404"),
        ("GET /%61", "404"),
        ("GET //a", "404"),
        ("GET /a/../../b", "/a/{*rest}"),
    ] {
        assert_eq!(find(&table, request), route, "{request}");
    }
    assert_eq!(table.find("", "*", "OPTIONS"), Found::None);
    assert_eq!(table.find("", "", "GET"), Found::None);
}

#[test]
fn a_drop_in_takes_its_name_and_all_below_and_strips_it() {
    let name = name("hello");
    let routes = RouteSpec::drop_in(&name);
    let table = RouteTable::build(routes.into_iter().map(|spec| (spec, name.clone(), ()))).unwrap();
    for (path, seen) in [
        ("/hello", "/"),
        ("/hello/", "/"),
        ("/hello/a/b", "/a/b"),
        ("/hello//", "//"),
    ] {
        let Found::Match { prefix, .. } = table.find("any", path, "GET") else {
            panic!("{path} found nothing");
        };
        assert_eq!((prefix, strip_prefix(path, prefix)), ("/hello", seen));
    }
    for path in ["/", "/hell", "/hello2", "/hellox/"] {
        assert_eq!(table.find("any", path, "GET"), Found::None, "{path}");
    }
}

#[test]
fn a_single_service_takes_every_path() {
    let table = RouteTable::build(
        RouteSpec::all()
            .into_iter()
            .map(|spec| (spec, name("s"), ())),
    )
    .unwrap();
    for path in ["/", "/a", "/a/b/", "//"] {
        let found = table.find("any.example:80", path, "BREW");
        assert_eq!(
            found,
            Found::Match {
                value: &(),
                prefix: ""
            },
            "{path}"
        );
    }
}

#[test]
fn a_conflict_names_both_services_patterns_the_host_and_the_method() {
    let conflict = |a: &str, b: &str| {
        RouteTable::build([(spec(a), name("a"), ()), (spec(b), name("b"), ())])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        conflict(
            "GET,PUT shop.example/x/{id}",
            "POST,PUT Shop.Example/x/{name}"
        ),
        "service a route /x/{id} and service b route /x/{name} both take PUT on host shop.example: \
         change the path, host or methods of one of them"
    );
    assert_eq!(
        conflict("/{*a}", "/{*b}"),
        "service a route /{*a} and service b route /{*b} both take any method on any host: \
         change the path, host or methods of one of them"
    );
}

#[test]
fn of_several_conflicts_the_same_one_is_named_whatever_the_order() {
    let routes = [
        ("/b/{x}", "s1"),
        ("/b/{y}", "s2"),
        ("/a", "s3"),
        ("/a", "s4"),
        ("/a", "s5"),
    ];
    let named = |order: &[usize]| {
        let routes = order.iter().map(|i| routes[*i]);
        RouteTable::build(routes.map(|(route, service)| (spec(route), name(service), ())))
            .unwrap_err()
    };
    let one = named(&[0, 1, 2, 3, 4]);
    assert_eq!(
        (one.routes[0].0.as_str(), one.routes[1].0.as_str()),
        ("s3", "s4")
    );
    for order in [
        [4, 3, 2, 1, 0],
        [1, 0, 3, 2, 4],
        [3, 1, 4, 0, 2],
        [2, 4, 0, 3, 1],
    ] {
        assert_eq!(named(&order), one, "{order:?}");
    }
}

#[test]
fn routes_that_a_request_can_tell_apart_do_not_conflict() {
    table(&[
        "/a",
        "GET /a",
        "POST,PUT /a",
        "HEAD /a",
        "/a/",
        "h/a",
        "*.h/a",
        "/{x}",
        "/{*x}",
        "/{x}/{y}",
        "/{x}/{*y}",
        "/a/{*y}",
    ]);
}

/// A table of `count` routes of every kind, on hosts of every kind.
fn many(count: usize) -> RouteTable<usize> {
    let kinds = |i: usize| match i % 5 {
        0 => format!("/s{i}"),
        1 => format!("GET /s{i}/{{id}}"),
        2 => format!("h{i}.example/s/{{*rest}}"),
        3 => format!("/api/v{i}/{{id}}/edit"),
        _ => format!("*.h{i}.example/x"),
    };
    RouteTable::build((0..count).map(|i| (spec(&kinds(i)), name("s"), i))).unwrap()
}

#[test]
fn ten_thousand_routes_cost_a_look_up_what_ten_do() {
    let (few, all) = (many(10), many(10_000));
    for (host, path) in [
        ("", "/s5"),
        ("", "/s6/x"),
        ("h7.example", "/s/a/b/c"),
        ("", "/api/v8/x/edit"),
        ("www.h9.example", "/x"),
        ("nobody.example", "/nothing/of/the/kind"),
    ] {
        visits::take();
        let found = few.find(host, path, "GET");
        let cost = visits::take();
        assert_eq!(all.find(host, path, "GET"), found, "{host}{path}");
        assert_eq!(visits::take(), cost, "{host}{path}");
    }
}

#[test]
fn a_long_path_is_searched_no_deeper_than_the_patterns_go() {
    let table = many(10_000);
    visits::take();
    assert_eq!(table.find("", &"/api".repeat(10_000), "GET"), Found::None);
    assert!(visits::take() < 20);
}
