//! Keys let in whose they are, and several ways in stand beside each other.

use http::Request;
use http::request::Builder;
use serde_json::json;

use super::auth_jwt::{ask, bearer, seen};
use crate::support::issuer::{Key, key_set};
use crate::support::tls::sha256;
use crate::support::{Host, probe};

const KEY: &str = "0123456789abcdef";

fn manifest(more: &str) -> String {
    let (old, new) = (
        sha256(KEY.as_bytes()),
        sha256(b"another key").to_uppercase(),
    );
    format!(
        "[edge.auth.api_key]\nkeys = [{{ name = 'ci', sha256 = '{old}' }}, {{ name = 'robot', sha256 = '{new}' }}]\n{more}"
    )
}

fn with_key(key: &str) -> Builder {
    Request::get("/a").header("x-api-key", key)
}

#[tokio::test]
async fn a_key_says_whose_it_is_and_is_not_passed_on() {
    let host = Host::with("a", probe("headers"))
        .manifest("a", &manifest(""))
        .start()
        .await;
    for (key, holder) in [(KEY, "ci"), ("another key", "robot")] {
        let own = with_key(key).header("authorization", "Mine alone");
        let answer = ask(&host, own).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(seen(&answer, "x-skep-identity"), [holder]);
        assert_eq!(seen(&answer, "x-skep-auth"), ["api_key"]);
        assert_eq!(
            seen(&answer, "authorization"),
            ["Mine alone"],
            "it is not for the host"
        );
        assert!(!answer.text().contains(key), "{answer:?}");
    }
    let digest = sha256(KEY.as_bytes());
    let long = "x".repeat(2000);
    for request in [
        with_key(""),
        with_key("0123456789abcdeF"),
        with_key(&KEY[..15]),
        with_key(&digest),
        with_key(&long),
        with_key("ci"),
        with_key(KEY).header("x-api-key", KEY),
        with_key(&format!("{KEY},{KEY}")),
        Request::get("/a").header("x_api_key", KEY),
        Request::get(format!("/a?x-api-key={KEY}")),
        bearer(KEY),
        Request::get("/a"),
    ] {
        let answer = ask(&host, request).await;
        assert_eq!(answer.status(), 401, "{answer:?}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Key realm=\"skep\"")
        );
    }
    let told = host.log.all(|line| line.text().contains(&digest));
    assert!(told.is_empty(), "{told:?}");
    assert!(!host.admin("/v1/services/a").await.text().contains(&digest));
    host.stop().await;
}

#[tokio::test]
async fn whoever_proves_it_in_one_way_comes_in() {
    let key = Key::ed25519("k");
    let password = bcrypt::hash("word", 4).unwrap();
    let more = format!(
        "[edge.auth.jwt]\njwks = 'keys.json'\nrequire = {{ scope = 'read' }}\n[edge.auth.basic]\nusers = {{ bob = '{password}' }}\n"
    );
    let host = Host::with("a", probe("headers")).manifest("a", &manifest(&more));
    host.put("keys.json", key_set(&[&key]));
    let host = host.start().await;
    let (good, bad) = (
        key.token(&json!({"scope": "read"})),
        key.token(&json!({"exp": 1})),
    );
    let lacking = key.token(&json!({}));
    let basic = |pair: &str| Request::get("/a").header("authorization", format!("Basic {pair}"));
    let (right, wrong) = ("Ym9iOndvcmQ=", "Ym9iOndyb25n");
    for (request, who) in [
        (bearer(&good), "alice jwt"),
        (bearer(&good).header("x-api-key", "wrong"), "alice jwt"),
        (bearer(&bad).header("x-api-key", KEY), "ci api_key"),
        (bearer(&lacking).header("x-api-key", KEY), "ci api_key"),
        (basic(right), "bob basic"),
        (basic(wrong).header("x-api-key", KEY), "ci api_key"),
        (with_key(KEY), "ci api_key"),
        (
            with_key(KEY).header("authorization", "Digest x"),
            "ci api_key",
        ),
    ] {
        let answer = ask(&host, request).await;
        assert_eq!(answer.status(), 200, "{who}: {answer:?}");
        let found = [
            seen(&answer, "x-skep-identity"),
            seen(&answer, "x-skep-auth"),
        ]
        .concat();
        assert_eq!(found.join(" "), who);
        assert!(seen(&answer, "authorization").is_empty() && seen(&answer, "x-api-key").is_empty());
    }
    for (request, status) in [
        (bearer(&bad), 401),
        (basic(wrong), 401),
        (with_key("wrong"), 401),
        (bearer(&bad).header("x-api-key", "wrong"), 401),
        (bearer(&lacking), 403),
        (bearer(&lacking).header("x-api-key", "wrong"), 403),
        (Request::get("/a"), 401),
    ] {
        let answer = ask(&host, request).await;
        assert_eq!(answer.status(), status, "{answer:?}");
        let challenges = answer.headers().get_all("www-authenticate").iter();
        let schemes: Vec<_> = challenges
            .map(|value| value.to_str().unwrap().split(' ').next().unwrap())
            .collect();
        assert_eq!(schemes, ["Bearer", "Basic", "Key"]);
    }
    host.stop().await;
}
