//! Pages on other origins read what a route's policy lets them read, and the gateway says so in the service's place.

use http::Request;

use crate::support::client::{empty, get};
use crate::support::{Answer, Host, probe};

const PAGE: &str = "https://page.example";
const POLICY: &str = "[edge.cors]\norigins = [\"https://page.example\", \"https://*.pages.example\"]\n\
    methods = [\"PUT\"]\nheaders = [\"X-Token\"]\nexpose_headers = [\"x-run\"]\ncredentials = true\n\
    max_age = \"60s\"\n";

/// A service whose routes all have the policy.
async fn host(policy: &str) -> Host {
    Host::with("a", probe("as_told"))
        .manifest("a", policy)
        .start()
        .await
}

async fn ask(host: &Host, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    host.request(request.body(empty()).unwrap()).await
}

fn preflight<'a>(origin: &'a str, method: &'a str) -> [(&'a str, &'a str); 2] {
    [
        ("origin", origin),
        ("access-control-request-method", method),
    ]
}

/// What an answer says of pages on other origins, without what follows `access-control-`.
fn told(answer: &Answer) -> Vec<(&str, &str)> {
    let headers = answer.headers().iter();
    let own = headers.filter_map(|(name, value)| {
        Some((
            name.as_str().strip_prefix("access-control-")?,
            value.to_str().unwrap(),
        ))
    });
    let mut own: Vec<_> = own.collect();
    own.sort_unstable();
    own
}

fn varies_by_origin(answer: &Answer) -> bool {
    let all = answer.headers().get_all("vary").iter();
    all.filter(|value| value.as_bytes() == b"origin").count() == 1
}

#[tokio::test]
async fn a_preflight_is_answered_without_the_service() {
    let host = host(POLICY).await;
    for origin in [PAGE, "https://one.pages.example"] {
        let answer = ask(
            &host,
            "OPTIONS",
            "/a/x?status=500",
            &preflight(origin, "PUT"),
        )
        .await;
        assert_eq!(
            (answer.status(), answer.bytes()),
            (204, &b""[..]),
            "{answer:?}"
        );
        let expected = [
            ("allow-credentials", "true"),
            ("allow-headers", "x-token"),
            ("allow-methods", "PUT"),
            ("allow-origin", origin),
            ("max-age", "60"),
        ];
        assert_eq!(told(&answer), expected);
        assert!(varies_by_origin(&answer));
        assert_eq!(answer.header("x-run"), None);
    }
    for odd in [
        "null",
        "https://page.example.evil.example",
        "https://evil.example",
    ] {
        let answer = ask(&host, "OPTIONS", "/a", &preflight(odd, "PUT")).await;
        assert_eq!((answer.status(), told(&answer)), (204, vec![]), "{odd}");
        assert!(varies_by_origin(&answer));
    }
    // Without the one or the other it is a request like any.
    for headers in [&preflight(PAGE, "PUT")[..1], &preflight(PAGE, "PUT")[1..]] {
        let answer = ask(&host, "OPTIONS", "/a", headers).await;
        assert!(answer.header("x-run").is_some());
    }
    host.stop().await;
}

#[tokio::test]
async fn a_preflight_is_about_the_route_of_the_request_that_it_asks_for() {
    let routes = "[[route]]\npath = \"/open\"\nmethods = [\"POST\"]\n[route.edge.cors]\norigins = \"*\"\n\
        [[route]]\npath = \"/open\"\nmethods = [\"DELETE\"]\n\
        [[route]]\npath = \"/shut\"\n";
    let host = host(routes).await;
    let answer = ask(&host, "OPTIONS", "/open", &preflight(PAGE, "POST")).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET, HEAD, POST")
    );
    assert_eq!(answer.header("vary"), None);
    for method in ["DELETE", "PUT", "post", "P\"O,ST"] {
        let answer = ask(&host, "OPTIONS", "/open", &preflight(PAGE, method)).await;
        assert_eq!((answer.status(), told(&answer)), (405, vec![]), "{method}");
    }
    // A route without a policy answers for itself.
    let answer = ask(&host, "OPTIONS", "/shut", &preflight(PAGE, "POST")).await;
    assert_eq!((answer.status(), told(&answer)), (200, vec![]));
    assert!(answer.header("x-run").is_some());
    host.stop().await;
}

#[tokio::test]
async fn answers_and_failures_can_be_read_by_the_page_that_may_and_by_no_other() {
    let host = host(POLICY).await;
    let own = "h1=access-control-allow-origin:*&h2=access-control-max-age:9&h3=vary:accept";
    for (path, status) in [
        (format!("/a?{own}"), 200),
        (format!("/a?status=404&{own}"), 404),
        ("/a?end=trap".to_owned(), 502),
    ] {
        let allowed = ask(&host, "GET", &path, &[("origin", PAGE)]).await;
        let expected = [
            ("allow-credentials", "true"),
            ("allow-origin", PAGE),
            ("expose-headers", "x-run"),
        ];
        assert_eq!(
            (allowed.status(), told(&allowed)),
            (status, expected.to_vec()),
            "{path}"
        );
        let other = ask(&host, "GET", &path, &[("origin", "https://evil.example")]).await;
        let none = host.get(&path).await;
        let twice = [("origin", PAGE), ("origin", "https://evil.example")];
        let twice = ask(&host, "GET", &path, &twice).await;
        for answer in [&other, &none, &twice] {
            assert_eq!((answer.status(), told(answer)), (status, vec![]), "{path}");
        }
        for answer in [&allowed, &other, &none, &twice] {
            assert!(varies_by_origin(answer), "{answer:?}");
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn an_origin_that_is_no_text_is_nobodys() {
    let host = host(POLICY).await;
    let wild = "GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: https://page.example\u{e9}\r\n\r\n";
    let answer = host.raw(wild).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("access-control"), "{answer}");
    let long = format!("https://{}.pages.example", "a".repeat(8000));
    let answer = ask(&host, "GET", "/a", &[("origin", &long)]).await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some(long.as_str())
    );
    host.stop().await;
}

#[tokio::test]
async fn credentials_for_everybody_are_refused() {
    let good = Host::with("a", probe("as_told")).start().await;
    for (policy, says) in [
        (
            "origins = \"*\"\ncredentials = true",
            "does not go together",
        ),
        ("credentials = true", "allows nobody"),
        ("origins = \"null\"", "hides it"),
        ("origins = \"page.example\"", "is not an origin"),
        (
            "origins = \"*\"\nheaders = [\"a b\"]",
            "is not the name of a header",
        ),
        ("origins = \"*\"\nmax_age = \"2d\"", "at most 1d"),
    ] {
        good.put("a.toml", format!("[edge.cors]\n{policy}\n"));
        let line = good.log_line(says, |line| line.text().contains(says)).await;
        assert_ne!(line.level(), "INFO");
    }
    // What ran before goes on.
    assert_eq!(good.request(get("/a")).await.status(), 200);
    good.stop().await;
}
