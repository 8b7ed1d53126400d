//! The service is told who asked, and clients can't tell it otherwise.

use http::Request;

use crate::support::client::empty;
use crate::support::{Answer, Host, probe};

/// The values of a header in what the probe saw.
fn seen<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let lines = answer.text().lines().skip(1);
    lines
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .collect()
}

#[tokio::test]
async fn what_the_host_knows_replaces_what_a_client_claims() {
    let host = Host::with("a", probe("headers")).start().await;
    for mut connection in host.both().await {
        let request = Request::get("/a/b")
            .header("host", "shop.example:81")
            .header("forwarded", "for=203.0.113.1;proto=https")
            .header("forwarded", "for=203.0.113.2")
            .header("x-forwarded-for", "203.0.113.1")
            .header("x-forwarded-host", "claimed.example")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-prefix", "/claimed")
            .body(empty())
            .unwrap();
        let answer = connection.send(request).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let target = answer.text().lines().next().unwrap();
        assert!(target.contains("shop.example:81 /b"), "{target}");
        for (name, value) in [
            (
                "forwarded",
                "for=127.0.0.1;host=\"shop.example:81\";proto=http",
            ),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "shop.example:81"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-prefix", "/a"),
        ] {
            assert_eq!(seen(&answer, name), [value], "{name}");
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn a_sensible_request_id_is_kept_and_any_other_replaced() {
    let host = Host::with("a", probe("headers")).start().await;
    let longest = "x".repeat(128);
    for id in ["a", "0af7651916cd43dd8448eb211c80319c-1:2/3.4+5=", &longest] {
        let request = Request::get("/a").header("x-request-id", id);
        let answer = host.request(request.body(empty()).unwrap()).await;
        assert_eq!(answer.header("x-request-id"), Some(id));
        assert_eq!(seen(&answer, "x-request-id"), [id]);
        assert_eq!(host.logged(&answer).await.field("path"), "/a");
    }
    let too_long = "x".repeat(129);
    let mut made = Vec::new();
    for id in ["", "two words", "quote\"", "<script>", &too_long] {
        let request = Request::get("/a")
            .header("x-request-id", id)
            .header("x-request-id", "second");
        let answer = host.request(request.body(empty()).unwrap()).await;
        let given = answer.header("x-request-id").unwrap().to_owned();
        assert_ne!(given, id);
        assert_eq!(seen(&answer, "x-request-id"), [&given]);
        made.push(given);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 5, "each request has an id of its own");
    host.stop().await;
}
