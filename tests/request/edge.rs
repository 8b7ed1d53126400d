//! What the gateway does by itself: it sends clients elsewhere, answers, says that it is closed, and changes paths and
//! headers.

use http::{Method, Request};

use crate::support::client::{empty, full};
use crate::support::wait::until;
use crate::support::{Answer, Host, probe};

async fn ask(host: &Host, method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("host", "shop.example");
    host.request(request.body(empty()).unwrap()).await
}

/// The values of a header in what the probe saw.
fn seen<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let lines = answer.text().lines().skip(1);
    lines
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .collect()
}

const ROUTES: &str = r#"
[[route]]
path = "/old/{*rest}"
redirect = { to = "/new/{rest}" }

[[route]]
path = "/moved"
redirect = { to = "https://elsewhere.example/?from=here", status = 302 }

[[route]]
path = "/all/{*rest}"
redirect = { to = "/{rest}" }

[[route]]
path = "/robots.txt"
respond = { body = "User-agent: *\nDisallow: /\n", headers = { content-type = "text/plain" } }

[[route]]
path = "/gone"
respond = { status = 410 }

[[route]]
path = "/v1/items/{item}/{*rest}"
rewrite = "/items/{rest}/{item}"
"#;

#[tokio::test]
async fn a_redirect_keeps_what_was_asked_for_and_leads_to_no_other_host() {
    let host = Host::with("a", probe("headers")).manifest("a", ROUTES);
    let host = host.start().await;
    for (path, status, location) in [
        ("/old/a/b?c=d", 308, "/new/a/b?c=d"),
        ("/moved?x=y", 302, "https://elsewhere.example/?from=here"),
        ("/all//evil.example/", 308, "/evil.example/"),
        ("/all/%5Cevil.example", 308, "/%5Cevil.example"),
    ] {
        let answer = ask(&host, Method::POST, path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.header("location"), Some(location));
        assert_eq!(answer.header("content-length"), Some("0"));
        let line = host.logged(&answer).await;
        assert_eq!(line.field("status"), &*status.to_string());
        assert_eq!(line.field("service"), "a");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_fixed_answer_is_given_without_a_guest() {
    let host = Host::with("a", probe("headers")).manifest("a", ROUTES);
    let host = host.start().await;
    let answer = ask(&host, Method::GET, "/robots.txt").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.text(), "User-agent: *\nDisallow: /\n");
    let head = ask(&host, Method::HEAD, "/robots.txt").await;
    assert_eq!(head.header("content-length"), Some("26"));
    assert_eq!(head.text(), "");
    assert_eq!(ask(&host, Method::GET, "/gone").await.status(), 410);
    host.stop().await;
}

#[tokio::test]
async fn a_service_sees_the_path_that_is_rewritten_and_all_of_the_query() {
    let host = Host::with("a", probe("headers")).manifest("a", ROUTES);
    let host = host.start().await;
    let answer = ask(&host, Method::GET, "/v1/items/7/a%2Fb/c?q=1").await;
    let target = answer.text().lines().next().unwrap();
    assert!(target.ends_with(" /items/a%2Fb/c/7?q=1"), "{target}");
    host.stop().await;
}

#[tokio::test]
async fn headers_are_changed_on_both_ways_and_in_answers_of_the_hosts_own() {
    let settings =
        "[edge.response_headers]\nset = { x-frame-options = \"DENY\" }\nremove = [\"server\"]\n";
    let manifest = r#"
[limits]
body = "8B"

[edge.request_headers]
set = { x-set = "of-service" }

[[route]]
path = "/plain"

[[route]]
path = "/own"
[route.edge.request_headers]
set = { x-set = "of-route" }
add = { x-added = "one" }
remove = ["x-removed"]

[[route]]
path = "/off"
[route.edge]
off = ["request_headers", "response_headers"]

[[route]]
path = "/fixed"
respond = { status = 204 }
"#;
    let host = Host::with("a", probe("headers")).manifest("a", manifest);
    let host = host.settings(settings).start().await;
    for (path, set, added, removed, frames) in [
        ("/plain", vec!["of-service"], vec!["given"], 1, Some("DENY")),
        (
            "/own",
            vec!["of-route"],
            vec!["given", "one"],
            0,
            Some("DENY"),
        ),
        ("/off", vec!["given"], vec!["given"], 1, None),
    ] {
        let request = Request::get(path)
            .header("x-set", "given")
            .header("x-added", "given")
            .header("x-removed", "given");
        let answer = host.request(request.body(empty()).unwrap()).await;
        assert_eq!(seen(&answer, "x-set"), set, "{path}");
        assert_eq!(seen(&answer, "x-added"), added, "{path}");
        assert_eq!(seen(&answer, "x-removed").len(), removed, "{path}");
        assert_eq!(answer.header("x-frame-options"), frames, "{path}");
    }
    let fixed = ask(&host, Method::GET, "/fixed").await;
    assert_eq!(fixed.header("x-frame-options"), Some("DENY"));
    let large = Request::post("/plain").body(full("too large"));
    let refused = host.request(large.unwrap()).await;
    assert_eq!(refused.status(), 413);
    assert_eq!(refused.header("x-frame-options"), Some("DENY"));
    host.stop().await;
}

#[tokio::test]
async fn a_closed_service_says_when_to_come_back_and_lets_some_in() {
    let closed = "[edge.maintenance]\nretry_after = \"2m\"\nbody = \"back soon\"\n";
    let open_to_us = "[edge.maintenance]\nexcept = [\"127.0.0.0/8\"]\n";
    let host = Host::with("a", probe("headers"))
        .and("b", probe("headers"))
        .and("c", probe("headers"))
        .manifest("a", closed)
        .manifest("b", open_to_us);
    let host = host.start().await;
    let answer = host.get("/a").await;
    assert_eq!((answer.status(), answer.text()), (503, "back soon"));
    assert_eq!(answer.header("retry-after"), Some("120"));
    assert_eq!(host.get("/b").await.status(), 200);
    assert_eq!(host.get("/c").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn limits_count_where_they_stand_and_outlive_a_deployment() {
    let settings = "[edge.rate_limit]\nrequests_per_second = 0.001\nburst = 2\nkey = \"all\"\n";
    let routes = r#"
[edge.rate_limit]
requests_per_second = 0.001
burst = 1
key = "header:x-who"

[[route]]
path = "/mine"

[[route]]
path = "/others"

[[route]]
path = "/own"
[route.edge.rate_limit]
requests_per_second = 0.001

[[route]]
path = "/free"
edge = { off = "rate_limit" }
"#;
    let host = Host::with("a", probe("headers"))
        .and("b", probe("headers"))
        .and("c", probe("headers"))
        .manifest("c", routes);
    let host = host.settings(settings).start().await;
    let of = async |path: &str, who: &str| {
        let request = Request::get(path).header("x-who", who);
        let answer = host.request(request.body(empty()).unwrap()).await;
        (answer.status(), answer.header("retry-after").is_some())
    };
    let (passes, refused) = ((200, false), (429, true));
    // One limit for all services that have none of their own.
    assert_eq!(of("/a", "x").await, passes);
    assert_eq!(of("/b", "x").await, passes);
    assert_eq!(of("/a", "x").await, refused);
    // One for all routes of a service, and one for a route.
    assert_eq!(of("/mine", "x").await, passes);
    assert_eq!(of("/others", "x").await, refused);
    assert_eq!(of("/others", "y").await, passes);
    assert_eq!(of("/own", "z").await, passes);
    assert_eq!(of("/own", "z").await, refused);
    for _ in 0..3 {
        assert_eq!(of("/free", "x").await, passes);
    }
    host.deploy("c", probe("env"));
    host.promoted("c", 2).await;
    assert_eq!(of("/mine", "x").await, refused);
    assert_eq!(of("/own", "z").await, refused);
    host.stop().await;
}

/// Lets in who has the key `k`, and tells the service in `x-user` what a token says.
const BY_KEY: &str = "keys = [{ name = \"n\", sha256 = \"8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a\" }]\n";

#[tokio::test]
async fn who_gets_to_a_candidate_is_its_own_to_say() {
    let host = Host::with("a", probe("headers")).start().await;
    let closed = format!(
        "[edge.auth.api_key]\n{BY_KEY}[rollout]\nstrategy = \"canary\"\nsteps = [{{ weight = 50 }}]\n"
    );
    host.put("a.toml", closed.as_bytes());
    until("the candidate to be tried", async || {
        (host.get("/a").await.status() == 401).then_some(())
    })
    .await;
    let mut seen = [0, 0];
    for _ in 0..40 {
        match host.get("/a").await.status() {
            200 => seen[0] += 1,
            401 => seen[1] += 1,
            other => panic!("{other}"),
        }
        let request = Request::get("/a").header("x-api-key", "k");
        let answer = host.request(request.body(empty()).unwrap()).await;
        assert_eq!(answer.status(), 200);
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    host.stop().await;
}

#[tokio::test]
async fn nobody_answers_in_the_place_of_a_service_whose_policies_are_not_there_yet() {
    let manifest = format!("[edge.auth.api_key]\n{BY_KEY}[fallback]\nservice = \"b\"\n");
    let host = Host::with("b", probe("headers"))
        .component("a", b"no component")
        .manifest("a", &manifest)
        .start()
        .await;
    let answer = host.get("/a").await;
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert_eq!(answer.header("x-skep-fallback"), None);
    host.stop().await;
}

#[tokio::test]
async fn guesses_count_against_a_limit_and_what_one_route_is_told_nobody_says_on_another() {
    let manifest = format!(
        "[edge.auth.api_key]\n{BY_KEY}[edge.rate_limit]\nrequests_per_second = 0.001\nburst = 3\n\
         [[route]]\npath = \"/closed\"\n\
         [[route]]\npath = \"/open\"\nedge = {{ off = [\"auth\", \"rate_limit\"] }}\n\
         [[route]]\npath = \"/told\"\n[route.edge.auth.jwt]\njwks = \"keys.json\"\nclaims = {{ sub = \"x-user\" }}\n"
    );
    let host = Host::with("a", probe("headers"));
    host.put("keys.json", br#"{"keys":[]}"#);
    let host = host.manifest("a", &manifest).start().await;
    let mut statuses = Vec::new();
    for key in ["wrong", "k", "worse", "k"] {
        let request = Request::get("/closed").header("x-api-key", key);
        let answer = host.request(request.body(empty()).unwrap()).await;
        statuses.push(answer.status());
    }
    assert_eq!(statuses, [401, 200, 401, 429]);
    let request = Request::get("/open").header("x-user", "mallory");
    let answer = host.request(request.body(empty()).unwrap()).await;
    assert_eq!((answer.status(), seen(&answer, "x-user").len()), (200, 0));
    host.stop().await;
}
