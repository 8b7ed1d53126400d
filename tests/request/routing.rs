//! Host, path and method lead to a service, the most specific route first.

use http::{Method, Request};

use crate::support::client::empty;
use crate::support::setup::Setup;
use crate::support::{Answer, Host, guest, probe};

/// A service that says which one it is, with routes of its own.
fn named(setup: Setup, name: &str, routes: &str) -> Setup {
    let manifest = format!("{routes}\n[env]\nREVISION = \"{name}\"\n");
    setup.and(name, guest("hello")).manifest(name, &manifest)
}

async fn ask(host: &Host, method: Method, authority: &str, path: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", authority);
    host.request(request.body(empty()).unwrap()).await
}

#[tokio::test]
async fn the_most_specific_route_takes_a_request() {
    let mut setup = Host::empty();
    for (name, routes) in [
        ("any", "[[route]]\npath = \"/{*rest}\""),
        ("literal", "[[route]]\npath = \"/api/items\""),
        (
            "writes",
            "[[route]]\npath = \"/api/items\"\nmethods = [\"POST\", \"PUT\"]",
        ),
        ("one", "[[route]]\npath = \"/api/{item}\""),
        (
            "rest",
            "[[route]]\npath = \"/api/{*rest}\"\nstrip_prefix = true",
        ),
        (
            "shop",
            "[[route]]\nhost = \"shop.example\"\npath = \"/{*rest}\"",
        ),
        (
            "shops",
            "[[route]]\nhost = \"*.example\"\npath = \"/{*rest}\"",
        ),
    ] {
        setup = named(setup, name, routes);
    }
    let host = setup.start().await;
    let any = "here.test";
    for (method, authority, path, service, seen) in [
        (Method::GET, any, "/x", "any", "/x"),
        (Method::GET, any, "/api/items", "literal", "/api/items"),
        (Method::POST, any, "/api/items", "writes", "/api/items"),
        (Method::DELETE, any, "/api/items", "literal", "/api/items"),
        (Method::GET, any, "/api/7", "one", "/api/7"),
        (Method::GET, any, "/api/7/8?q=/api", "rest", "/7/8?q=/api"),
        (Method::GET, any, "/API/items", "any", "/API/items"),
        (Method::GET, any, "/api%2Fitems", "any", "/api%2Fitems"),
        (Method::GET, any, "/api%2fitems", "any", "/api%2Fitems"),
        (
            Method::GET,
            any,
            "/%61pi/item%73?%61",
            "literal",
            "/api/items?%61",
        ),
        (Method::GET, any, "/ap%69/7/8", "rest", "/7/8"),
        (
            Method::GET,
            "shop.example",
            "/api/items",
            "shop",
            "/api/items",
        ),
        (Method::GET, "SHOP.example.:99", "/x", "shop", "/x"),
        (Method::GET, "other.example", "/x", "shops", "/x"),
        (Method::GET, "example", "/x", "any", "/x"),
        (Method::GET, "shop.example.test", "/x", "any", "/x"),
    ] {
        let answer = ask(&host, method.clone(), authority, path).await;
        let expected = format!("Hello from hello revision {service}: {method} {seen}\n");
        assert_eq!(answer.text(), expected, "{method} {authority} {path}");
    }
    host.stop().await;
}

#[tokio::test]
async fn the_authority_of_http2_is_the_host() {
    let setup = named(
        Host::empty(),
        "shop",
        "[[route]]\nhost = \"shop.example\"\npath = \"/\"",
    );
    let host = setup.start().await;
    let mut connection = host.connect_h2().await;
    for (authority, status) in [("shop.example", 200), ("other.example", 404)] {
        let request = Request::get("/").header("host", authority);
        let answer = connection.send(request.body(empty()).unwrap()).await;
        assert_eq!(answer.status(), status, "{authority}: {answer:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let setup = named(
        Host::empty(),
        "a",
        "[[route]]\npath = \"/a\"\nmethods = [\"POST\", \"GET\"]",
    );
    let host = setup.start().await;
    for mut connection in host.both().await {
        for method in [Method::DELETE, Method::OPTIONS] {
            let request = Request::builder().method(method).uri("/a");
            let answer = connection.send(request.body(empty()).unwrap()).await;
            assert_eq!(answer.status(), 405, "{answer:?}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
            let problem = answer.problem();
            assert_eq!(problem.r#type, "urn:skep:fault:wrong_method");
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn head_is_answered_by_a_route_for_get_without_a_body() {
    let setup = named(
        Host::empty(),
        "a",
        "[[route]]\npath = \"/a\"\nmethods = [\"GET\"]",
    );
    let host = setup.start().await;
    for mut connection in host.both().await {
        for (path, status) in [("/a", 200), ("/none", 404), ("/a", 200)] {
            let request = Request::head(path).body(empty()).unwrap();
            let answer = connection.send(request).await;
            assert_eq!(answer.status(), status, "{answer:?}");
            assert!(answer.header("content-type").is_some(), "{answer:?}");
            assert!(answer.bytes().is_empty());
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn options_is_a_method_like_others() {
    let host = Host::with("a", guest("hello")).start().await;
    for mut connection in host.both().await {
        let request = Request::options("/a/b").body(empty()).unwrap();
        let answer = connection.send(request).await;
        assert_eq!(answer.text(), "Hello from hello revision 1: OPTIONS /b\n");
    }
    host.stop().await;
}

#[tokio::test]
async fn what_is_stripped_of_a_path_is_told() {
    let host = Host::with("a", probe("headers"))
        .manifest(
            "a",
            "[[route]]\npath = \"/stripped/here/{*rest}\"\nstrip_prefix = true\n\
             [[route]]\npath = \"/whole/{*rest}\"\n",
        )
        .start()
        .await;
    let stripped = host.get("/stripped/here/b//c?d").await;
    let (target, headers) = stripped.text().split_once('\n').unwrap();
    assert!(target.ends_with(" /b//c?d"), "{target}");
    assert!(headers.contains("x-forwarded-prefix: /stripped/here\n"));
    let whole = host.get("/whole/b").await;
    let (target, headers) = whole.text().split_once('\n').unwrap();
    assert!(target.ends_with(" /whole/b"), "{target}");
    assert!(!headers.contains("x-forwarded-prefix"));
    host.stop().await;
}

#[tokio::test]
async fn a_single_file_is_served_at_the_root() {
    let host = Host::empty().serving(guest("hello")).start().await;
    for path in ["/", "/hello", "/any/path?q"] {
        let answer = host.get(path).await;
        let expected = format!("Hello from hello revision 1: GET {path}\n");
        assert_eq!(answer.text(), expected);
    }
    host.stop().await;
}

#[tokio::test]
async fn routes_that_nothing_tells_apart_are_refused_with_both_named() {
    let mut setup = named(Host::empty(), "first", "[[route]]\npath = \"/x/{one}\"");
    setup = named(setup, "second", "[[route]]\npath = \"/x/{other}\"");
    let host = setup.start().await;
    let services = host.services().await;
    let errors: Vec<_> = services
        .iter()
        .filter_map(|service| service.error.as_deref())
        .collect();
    assert_eq!(errors.len(), 1, "{services:?}");
    for named in ["first", "/x/{one}", "second", "/x/{other}"] {
        assert!(errors[0].contains(named), "no {named}: {}", errors[0]);
    }
    // The other one is served.
    let ready = services.iter().find(|service| service.error.is_none());
    let expected = format!(
        "Hello from hello revision {}: GET /x/1\n",
        ready.unwrap().name
    );
    assert_eq!(host.get("/x/1").await.text(), expected);
    host.stop().await;
}
