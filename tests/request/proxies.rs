//! Whom a trusted proxy names is the client, for services, limits, rollouts, the log and redirects; whom anybody else names
//! is nobody.

use http::Request;

use crate::support::client::{Connection, empty};
use crate::support::{Answer, Host, guest, probe};

/// Where the trusted proxies are; tests come from 127.0.0.1 unless they say otherwise.
const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/30\", \"10.0.0.0/8\", \"fd00::/8\"]\n";
const STRANGER: [u8; 4] = [127, 0, 0, 9];

fn seen<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let lines = answer.text().lines().skip(1);
    lines
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .collect()
}

fn asks(headers: &[(&str, &str)]) -> Request<crate::support::client::Body> {
    let request = headers
        .iter()
        .fold(Request::get("/a"), |request, (name, value)| {
            request.header(*name, *value)
        });
    request.body(empty()).unwrap()
}

#[tokio::test]
async fn a_service_is_told_the_client_and_who_passed_the_request_on() {
    let host = Host::with("a", probe("headers"))
        .settings(TRUSTED)
        .start()
        .await;
    for (headers, chain, scheme) in [
        (&[][..], "127.0.0.1", "http"),
        (
            &[("x-forwarded-for", "192.0.2.1")],
            "192.0.2.1, 127.0.0.1",
            "http",
        ),
        (
            &[
                ("x-forwarded-for", "203.0.113.9, 192.0.2.1"),
                ("x-forwarded-for", "10.0.0.2"),
                ("x-forwarded-proto", "https"),
            ],
            "192.0.2.1, 10.0.0.2, 127.0.0.1",
            "https",
        ),
        (
            &[("forwarded", "for=\"[2001:db8::1]:80\";proto=https")],
            "2001:db8::1, 127.0.0.1",
            "https",
        ),
        (
            &[("x-forwarded-for", "unknown"), ("x-forwarded-proto", "wss")],
            "127.0.0.1",
            "http",
        ),
    ] {
        for mut connection in host.both().await {
            let answer = connection.send(asks(headers)).await;
            assert_eq!(seen(&answer, "x-forwarded-for"), [chain], "{headers:?}");
            assert_eq!(seen(&answer, "x-forwarded-proto"), [scheme], "{headers:?}");
            let scheme = if scheme == "https" {
                "Scheme::Https"
            } else {
                "Scheme::Http)"
            };
            assert!(
                answer.text().lines().next().unwrap().contains(scheme),
                "{answer:?}"
            );
            assert_eq!(seen(&answer, "forwarded").len(), 1);
        }
    }
    // The host that a proxy names is not believed: routes would be open to whoever can say it.
    let claimed = [("x-forwarded-host", "claimed.example"), ("host", "here")];
    let answer = host.request(asks(&claimed)).await;
    assert_eq!(seen(&answer, "x-forwarded-host"), ["here"]);
    host.stop().await;
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let host = Host::with("a", probe("headers"))
        .settings(TRUSTED)
        .start()
        .await;
    let claims = [
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1;proto=https"),
        ("x-forwarded-proto", "https"),
    ];
    let mut connection = Connection::http1_from(STRANGER, host.gateway).await;
    let answer = connection.send(asks(&claims)).await;
    assert_eq!(seen(&answer, "x-forwarded-for"), ["127.0.0.9"]);
    assert_eq!(seen(&answer, "x-forwarded-proto"), ["http"]);
    host.stop().await;
}

#[tokio::test]
async fn a_rate_is_the_clients_and_not_the_proxys() {
    let rate = "[rate_limit]\nrequests_per_second = 0.001\nburst = 1\nkey = \"client\"\n";
    let host = Host::with("a", guest("hello"))
        .manifest("a", rate)
        .settings(TRUSTED)
        .start()
        .await;
    for (chain, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("192.0.2.2", 200),
        // Who claims to be another is still who it is.
        ("192.0.2.77, 192.0.2.1", 429),
        ("192.0.2.78, 192.0.2.1, 10.0.0.2", 429),
    ] {
        let answer = host.request(asks(&[("x-forwarded-for", chain)])).await;
        assert_eq!(answer.status(), status, "{chain}");
    }
    host.stop().await;
}

#[tokio::test]
async fn who_came_over_tls_is_not_sent_there_again() {
    let tls = "[tls]\nlisten = \"127.0.0.1:0\"\nredirect = true\n";
    let host = Host::with("a", guest("hello"))
        .settings(TRUSTED)
        .settings(tls)
        .flag("--tls-self-signed")
        .start()
        .await;
    for (proto, status) in [("http", 308), ("https", 200)] {
        let answer = host.request(asks(&[("x-forwarded-proto", proto)])).await;
        assert_eq!(answer.status(), status, "{proto}");
    }
    let mut connection = Connection::http1_from(STRANGER, host.gateway).await;
    let answer = connection
        .send(asks(&[("x-forwarded-proto", "https")]))
        .await;
    assert_eq!(answer.status(), 308);
    host.stop().await;
}
