//! Tokens let in whom they are of, and the service is told who that is.

use http::Request;
use http::request::Builder;
use serde_json::{Value, json};

use crate::support::client::{curl, empty};
use crate::support::issuer::{Issuer, Key, Says, key_set, now};
use crate::support::setup::Setup;
use crate::support::wait::until;
use crate::support::{Answer, Host, probe};

/// What comes after `[edge.auth.jwt]` and where the keys are.
const CHECKED: &str = "issuer = 'https://issuer.example/'\naudience = ['shop', 'stock']\n";

/// A service that answers with the headers that it got, for those who have a token by `keys`; `more` is in the table.
pub(super) fn guarded(keys: &str, more: &str) -> Setup {
    let manifest = format!("[edge.auth.jwt]\njwks = '{keys}'\n{CHECKED}{more}\n");
    Host::with("a", probe("headers")).manifest("a", &manifest)
}

/// The same with the keys in a file.
pub(super) fn guarded_by(keys: &[&Key], more: &str) -> Setup {
    let setup = guarded("keys.json", more);
    setup.put("keys.json", key_set(keys));
    setup
}

pub(super) fn bearer(token: &str) -> Builder {
    Request::get("/a").header("authorization", format!("Bearer {token}"))
}

pub(super) async fn ask(host: &Host, request: Builder) -> Answer {
    host.request(request.body(empty()).unwrap()).await
}

/// The values of a header that the service got.
pub(super) fn seen<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let prefix = format!("{name}: ");
    let lines = answer.text().lines().skip(1);
    lines
        .filter_map(|line| line.strip_prefix(&*prefix))
        .collect()
}

#[tokio::test]
async fn curl_comes_in_with_a_token_that_openssl_signed_by_each_algorithm() {
    let keys = [Key::rsa("r", 2048), Key::p256("e"), Key::ed25519("o")];
    let host = guarded_by(&keys.each_ref(), "").start().await;
    for key in &keys {
        let token = key.token(&json!({}));
        let url = format!("http://{}/a", host.gateway);
        let said = curl(&["--fail", "--oauth2-bearer", &token, &url]).await;
        assert!(said.contains("\nx-skep-identity: alice\n"), "{said}");
        assert!(said.contains("\nx-skep-auth: jwt\n"), "{said}");
        assert!(!said.contains("authorization"), "{said}");
    }
    let refused = host.get("/a").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"skep\"")
    );
    assert_eq!(refused.json()["type"], "urn:skep:fault:unauthenticated");
    host.stop().await;
}

#[tokio::test]
async fn claims_are_told_in_headers_and_some_are_required() {
    let key = Key::ed25519("k");
    let more = "claims = { email = 'X-User-Email', 'realm.roles' = 'x-roles', none = 'x-none' }\n\
                require = { scope = 'read', verified = true }\nidentity = 'email'\n";
    let host = guarded_by(&[&key], more).start().await;
    let good = json!({
        "email": "alice@shop.example", "realm": {"roles": ["a", "b,c"]}, "scope": "write read", "verified": true,
    });
    let answer = ask(&host, bearer(&key.token(&good)).header("x-none", "forged")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    for (name, values) in [
        ("x-skep-identity", &["alice@shop.example"][..]),
        ("x-user-email", &["alice@shop.example"]),
        ("x-roles", &["a,b%2Cc"]),
        ("x-none", &[]),
    ] {
        assert_eq!(seen(&answer, name), values, "{name}");
    }
    for (name, value) in [("scope", json!("write")), ("verified", json!(false))] {
        let mut lacking = good.clone();
        lacking[name] = value;
        let answer = ask(&host, bearer(&key.token(&lacking))).await;
        assert_eq!(answer.status(), 403);
        let challenge = "Bearer realm=\"skep\", error=\"insufficient_scope\"";
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
        assert_eq!(answer.json()["type"], "urn:skep:fault:forbidden");
        let line = host.logged(&answer).await;
        assert!(line.field("detail").contains(name), "{}", line.text());
    }
    host.stop().await;
}

#[tokio::test]
async fn a_token_comes_in_the_header_or_the_cookie_that_the_route_names() {
    let key = Key::ed25519("k");
    let more = "header = 'X-Token'\ncookie = 'session'\n[edge.auth]\nforward = false\n";
    let host = guarded_by(&[&key], more).start().await;
    let token = key.token(&json!({}));
    let get = || Request::get("/a").header("authorization", "Mine alone");
    for with in [
        get().header("x-token", &token),
        get().header("x-token", format!("bearer {token}")),
        get().header("cookie", format!("a=b; session={token}; c=d")),
        get()
            .header("cookie", "a=b")
            .header("cookie", format!("session={token}")),
    ] {
        let answer = ask(&host, with).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(seen(&answer, "x-skep-identity"), ["alice"]);
        assert_eq!(seen(&answer, "authorization"), ["Mine alone"]);
        assert!(!answer.text().contains(&token), "{answer:?}");
        assert_eq!(
            answer.text().contains("a=b"),
            !seen(&answer, "cookie").is_empty()
        );
    }
    for without in [
        bearer(&token),
        get().header("cookie", format!("session={token}; session={token}")),
        get().header("x-token", &token).header("x-token", &token),
        get()
            .header("x-token", "x")
            .header("cookie", format!("session={token}")),
    ] {
        assert_eq!(ask(&host, without).await.status(), 401);
    }
    host.stop().await;
}

#[tokio::test]
async fn who_proves_nothing_is_nobody_where_that_is_allowed_and_proofs_may_be_passed_on() {
    let key = Key::ed25519("k");
    let more = "claims = { email = 'x-email' }\n[edge.auth]\noptional = true\nforward = true\nrealm = 'the shop'\n";
    let host = guarded_by(&[&key], more).start().await;
    let forged = Request::get("/a")
        .header("x-email", "root")
        .header("X_Email", "root");
    let nobody = ask(&host, forged.header("x-skep-identity", "root")).await;
    assert_eq!(nobody.status(), 200, "{nobody:?}");
    assert!(!nobody.text().contains("root"), "{nobody:?}");
    let token = key.token(&json!({"email": "a@b"}));
    let answer = ask(&host, bearer(&token)).await;
    assert_eq!(seen(&answer, "x-email"), ["a@b"]);
    assert_eq!(seen(&answer, "authorization"), [format!("Bearer {token}")]);
    for bad in [
        bearer("x"),
        Request::get("/a").header("authorization", "Digest x"),
    ] {
        let answer = ask(&host, bad).await;
        assert_eq!(answer.status(), 401, "bad credentials are not none");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer realm=\"the shop\""),
            "{challenge}"
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn a_token_that_was_good_stops_when_it_expires() {
    let key = Key::p256("k");
    let host = guarded_by(&[&key], "leeway = '0s'\n").start().await;
    let token = key.token(&json!({"exp": now() + 3}));
    assert_eq!(ask(&host, bearer(&token)).await.status(), 200);
    let refused = until("the token to expire", async || {
        let answer = ask(&host, bearer(&token)).await;
        (answer.status() == 401).then_some(answer)
    })
    .await;
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("error_description=\"the token has expired\""),
        "{challenge}"
    );
    host.stop().await;
}

#[tokio::test]
async fn keys_in_a_file_are_read_again_when_it_changes() {
    let (old, new) = (Key::ed25519("old"), Key::ed25519("new"));
    let host = guarded_by(&[&old], "").start().await;
    let of = |key: &Key| bearer(&key.token(&json!({})));
    assert_eq!(ask(&host, of(&old)).await.status(), 200);
    assert_eq!(ask(&host, of(&new)).await.status(), 401);
    host.put("keys.json", key_set(&[&old, &new]));
    until("the new key to be known", async || {
        (ask(&host, of(&new)).await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(ask(&host, of(&old)).await.status(), 200);
    // What can't be read changes nothing.
    host.put("keys.json", "{\"keys\": [");
    let says =
        |text: &'static str| move |line: &crate::support::log::Line| line.text().contains(text);
    host.log_line("that it is no key set", says("is no key set"))
        .await;
    assert_eq!(ask(&host, of(&new)).await.status(), 200);
    // A token that is known already is of no use once its key is gone.
    let token = old.token(&json!({}));
    assert_eq!(ask(&host, bearer(&token)).await.status(), 200);
    host.put("keys.json", key_set(&[&new]));
    until("the old key to be forgotten", async || {
        (ask(&host, bearer(&token)).await.status() == 401).then_some(())
    })
    .await;
    assert_eq!(ask(&host, of(&new)).await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn what_a_service_calls_is_told_who_sent_the_request_from_outside() {
    let key = Key::ed25519("k");
    let manifest = format!(
        "[allow]\nservices = ['callee']\n[edge.auth.jwt]\njwks = 'keys.json'\n{CHECKED}claims = {{ email = 'x-email' }}\n"
    );
    let host = Host::with("callee", probe("headers"))
        .and("two", probe("fetch"))
        .manifest("two", &manifest)
        .and("open", probe("fetch"))
        .manifest("open", "[allow]\nservices = ['callee']\n");
    host.put("keys.json", key_set(&[&key]));
    let host = host.start().await;
    let path = |service: &str| Request::get(format!("/{service}?url=http://callee.internal/"));
    let token = key.token(&json!({"email": "a@b"}));
    let request = path("two").header("authorization", format!("Bearer {token}"));
    let called = ask(&host, request).await;
    assert_eq!(called.status(), 200, "{called:?}");
    assert_eq!(seen(&called, "x-skep-identity"), ["alice"]);
    assert_eq!(seen(&called, "x-skep-auth"), ["jwt"]);
    assert_eq!(seen(&called, "x-skep-caller"), ["two"]);
    assert!(
        seen(&called, "x-email").is_empty(),
        "claims are told by the route alone"
    );
    let forged = path("open").header("x-skep-identity", "root");
    assert!(seen(&ask(&host, forged).await, "x-skep-identity").is_empty());
    host.stop().await;
}

#[tokio::test]
async fn rates_are_of_whom_a_token_names_or_of_a_claim() {
    let key = Key::ed25519("k");
    let limit = |by: &str| {
        let more = format!(
            "[edge.auth]\noptional = true\n[rate_limit]\nrequests_per_second = 0.001\nburst = 1\nkey = '{by}'\n"
        );
        guarded_by(&[&key], &more)
    };
    let status =
        async |host: &Host, claims: &Value| ask(host, bearer(&key.token(claims))).await.status();
    let host = limit("identity").start().await;
    for (claims, expected) in [
        (json!({}), 200),
        (json!({"jti": "another"}), 429),
        (json!({"sub": "bob"}), 200),
        (json!({"sub": "bob"}), 429),
    ] {
        assert_eq!(status(&host, &claims).await, expected, "{claims}");
    }
    assert_eq!(
        host.get("/a").await.status(),
        200,
        "others are counted by address"
    );
    assert_eq!(host.get("/a").await.status(), 429);
    host.stop().await;
    let host = limit("claim:org.team").start().await;
    for (claims, expected) in [
        (json!({"org": {"team": "red"}}), 200),
        (json!({"org": {"team": "red"}, "sub": "bob"}), 429),
        (json!({"org": {"team": "blue"}}), 200),
        (json!({}), 200),
        (json!({"sub": "bob"}), 429),
    ] {
        assert_eq!(status(&host, &claims).await, expected, "{claims}");
    }
    host.stop().await;
}

#[tokio::test]
async fn deployments_do_not_fetch_keys_again() {
    let key = Key::ed25519("k");
    let issuer = Issuer::start(Says::Keys(key_set(&[&key]))).await;
    let host = guarded(&issuer.url, "").start().await;
    let token = key.token(&json!({}));
    assert_eq!(ask(&host, bearer(&token)).await.status(), 200);
    host.deploy("a", probe("env"));
    host.promoted("a", 2).await;
    assert_eq!(ask(&host, bearer(&token)).await.status(), 200);
    assert_eq!(issuer.asked(), 1);
    host.stop().await;
}
