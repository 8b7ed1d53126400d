//! Tokens that are none, and headers that only the host may set.

use http::Request;
use ring::hmac;
use serde_json::{Value, json};

use super::auth_jwt::{ask, bearer, guarded_by, seen};
use crate::support::issuer::{Key, claims, encode, now, unsigned};
use crate::support::{Answer, Host};

/// A token that is signed with a secret.
fn with_secret(secret: &[u8], head: &Value) -> String {
    let signed = unsigned(head, &claims(&json!({})));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status(), 401, "{what}: {answer:?}");
    assert_eq!(answer.json()["type"], "urn:skep:fault:unauthenticated");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer realm=\"skep\""),
        "{challenge}"
    );
    assert!(!answer.text().contains("x-skep"), "{answer:?}");
}

#[tokio::test]
async fn tokens_whose_claims_do_not_hold_are_refused() {
    let key = Key::ed25519("k");
    let more = "claims = { email = 'x-email', roles = 'x-roles' }\n";
    let host = guarded_by(&[&key], more).start().await;
    assert_eq!(
        ask(&host, bearer(&key.token(&json!({})))).await.status(),
        200
    );
    for (other, why) in [
        (json!({"exp": now() - 31}), "expired"),
        (json!({"exp": null}), "no exp"),
        (json!({"exp": "9999999999"}), "is no number"),
        (json!({"nbf": now() + 300}), "not valid yet"),
        (json!({"iat": now() + 300}), "not valid yet"),
        (json!({"iss": "https://issuer.example.evil/"}), "iss"),
        (json!({"iss": null}), "iss"),
        (json!({"aud": "other"}), "aud"),
        (json!({"aud": null}), "aud"),
        (json!({"sub": null}), "names nobody"),
        (json!({"sub": "root\r\nx-admin: 1"}), "fits no header"),
        (json!({"sub": "admin "}), "fits no header"),
        (json!({"email": " a@b"}), "fits no header"),
        (
            json!({"email": "a@b\r\nx-skep-identity: root"}),
            "fits no header",
        ),
        (json!({"email": "a\u{0}b"}), "fits no header"),
        (json!({"email": {"a": "b"}}), "fits no header"),
        (json!({"email": "x".repeat(9000)}), "fits no header"),
        (json!({"roles": [["nested"]]}), "fits no header"),
    ] {
        let answer = ask(&host, bearer(&key.token(&other))).await;
        assert_refused(&answer, &other.to_string());
        let line = host.logged(&answer).await;
        assert!(
            line.field("detail").contains(why),
            "{other}: {}",
            line.text()
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn a_token_does_not_choose_how_it_is_verified() {
    let (rsa, ec, ed) = (Key::rsa("r", 2048), Key::p256("e"), Key::ed25519("o"));
    let (stranger, short) = (Key::ed25519("o"), Key::rsa("s", 1024));
    let host = guarded_by(&[&rsa, &ec, &ed, &short], "").start().await;
    let good = claims(&json!({}));
    let head = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let none = |alg: &str| format!("{}.", unsigned(&head(alg, "r"), &good));
    let with_own_key =
        json!({"alg": "EdDSA", "kid": "o", "jwk": stranger.jwk(), "jku": "http://127.0.0.1:1/"});
    let rsa_jwk = rsa.jwk();
    let modulus = rsa_jwk["n"].as_str().unwrap();
    let signed = ed.token(&json!({}));
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let other_claims = unsigned(&ed.head(), &claims(&json!({"sub": "root"})));
    for (what, token) in [
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg none, signed", rsa.token_of(&head("none", "r"), &good)),
        (
            "HS256 with the public PEM",
            with_secret(&rsa.public_pem(), &head("HS256", "r")),
        ),
        (
            "HS256 with the modulus",
            with_secret(modulus.as_bytes(), &head("HS256", "r")),
        ),
        (
            "HS256 as RS256",
            with_secret(&rsa.public_pem(), &head("RS256", "r")),
        ),
        ("HS256 with nothing", with_secret(b"", &head("HS256", "r"))),
        (
            "ES256 by an RSA key",
            ec.token_of(&head("ES256", "r"), &good),
        ),
        (
            "RS256 by an EC key",
            rsa.token_of(&head("RS256", "e"), &good),
        ),
        ("another's key of the same name", stranger.token(&json!({}))),
        (
            "a key that the token brings",
            stranger.token_of(&with_own_key, &good),
        ),
        ("a short key", short.token(&json!({}))),
        (
            "crit",
            ed.token_of(&json!({"alg": "EdDSA", "kid": "o", "crit": ["exp"]}), &good),
        ),
        ("no signature", format!("{message}.")),
        ("other claims", format!("{other_claims}.{signature}")),
        ("zeros", format!("{message}.{}", encode([0; 64]))),
        (
            "zeros for ECDSA",
            format!("{}.{}", unsigned(&ec.head(), &good), encode([0; 64])),
        ),
        (
            "DER",
            format!("{}.{}", unsigned(&ec.head(), &good), encode([0x30; 70])),
        ),
    ] {
        assert_refused(&ask(&host, bearer(&token)).await, what);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_token_s_key_is_a_name_and_nothing_else() {
    let (rsa, ec, ed) = (Key::rsa("r", 2048), Key::p256("e"), Key::ed25519("o"));
    let host = guarded_by(&[&rsa, &ec, &ed], "").start().await;
    let good = claims(&json!({}));
    for kid in [
        "",
        "../../../../etc/passwd",
        "/dev/null",
        "x' OR '1'='1",
        "R",
        "r\u{0}",
        "http://127.0.0.1/",
    ] {
        let token = rsa.token_of(&json!({"alg": "RS256", "kid": kid}), &good);
        assert_refused(&ask(&host, bearer(&token)).await, kid);
    }
    for key in [&rsa, &ec, &ed] {
        let nameless = key.token_of(&json!({"alg": key.alg}), &good);
        assert_eq!(
            ask(&host, bearer(&nameless)).await.status(),
            200,
            "the key is found"
        );
        assert_eq!(
            ask(&host, bearer(&key.token(&json!({})))).await.status(),
            200
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn what_is_no_token_is_refused_and_costs_little() {
    let key = Key::ed25519("k");
    let host = guarded_by(&[&key], "").start().await;
    let good = key.token(&json!({}));
    let long = key.token(&json!({"pad": "x".repeat(16 << 10)}));
    let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    let deep = format!("{}.{}.AAAA", encode(deep), encode("{}"));
    for authorization in [
        "Bearer",
        "Bearer ",
        "bearer x",
        "Bearer ..",
        "Bearer a.b.c",
        "Bearer null",
        "Basic QTpC",
        "Token x",
        "x",
        "Negotiate YII=",
        &good,
        &format!("Bearer\t{good}"),
        &format!("Bearer {good} x"),
        &format!("Bearer {good},x"),
        &format!("Bearer \"{good}\""),
        &format!("Bearer {good}="),
        &format!("Bearer {good}."),
        &format!("Bearer {}", good.replace('.', "..")),
        &format!("Bearer {good}, Bearer {good}"),
        &format!("Bearer {long}"),
        &format!("Bearer {deep}"),
        &format!("Bearer x.{}", "A".repeat(16 << 10)),
    ] {
        let request = Request::get("/a").header("authorization", authorization);
        assert_refused(&ask(&host, request).await, authorization);
    }
    let twice = bearer(&good).header("Authorization", format!("Bearer {good}"));
    assert_refused(&ask(&host, twice).await, "two headers");
    let not_text = Request::get("/a").header("authorization", &b"Bearer \xff\xfe"[..]);
    assert_refused(&ask(&host, not_text).await, "no text");
    for authorization in [format!("bEaReR {good}"), format!("Bearer    {good}")] {
        let request = Request::get("/a").header("authorization", authorization);
        assert_eq!(ask(&host, request).await.status(), 200);
    }
    host.stop().await;
    assert_nothing_leaked(&good).await;
}

/// Nothing of a token is in a log.
async fn assert_nothing_leaked(token: &str) {
    let key = Key::ed25519("k");
    let host = guarded_by(&[&key], "").start().await;
    let own = key.token(&json!({}));
    let answer = ask(&host, bearer(&own)).await;
    host.logged(&answer).await;
    let refused = ask(&host, bearer(token)).await;
    host.logged(&refused).await;
    for token in [own.as_str(), token] {
        let signature = token.rsplit('.').next().unwrap();
        let told = host.log.all(|line| line.text().contains(signature));
        assert!(told.is_empty(), "{told:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn nobody_outside_says_who_they_are_on_any_route() {
    let key = Key::ed25519("k");
    let more = "claims = { email = 'x-user-email' }\n";
    let host = guarded_by(&[&key], more)
        .and("open", crate::support::probe("headers"))
        .start()
        .await;
    let forged = |request: http::request::Builder| {
        let names = [
            "x-skep-identity",
            "X-Skep-Identity",
            "x_skep_identity",
            "x-skep_identity",
            "X-SKEP-AUTH",
            "x-skep-anything",
            "x-skep-caller",
            "X_SKEP_CALLER",
            "x-user-email",
            "X-User-Email",
            "x_user_email",
            "X_USER-EMAIL",
        ];
        let twice = names.into_iter().chain(names);
        twice.fold(request, |request, name| request.header(name, "root"))
    };
    for mut connection in host.both().await {
        let token = key.token(&json!({"email": "a@b"}));
        let request = forged(bearer(&token))
            .body(crate::support::client::empty())
            .unwrap();
        let answer = connection.send(request).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(!answer.text().contains("root"), "{answer:?}");
        assert_eq!(seen(&answer, "x-skep-identity"), ["alice"]);
        assert_eq!(seen(&answer, "x-user-email"), ["a@b"]);
        let without = key.token(&json!({"sub": "bob"}));
        let request = forged(bearer(&without))
            .body(crate::support::client::empty())
            .unwrap();
        let answer = connection.send(request).await;
        assert!(!answer.text().contains("root"), "{answer:?}");
        let request = forged(Request::get("/open"))
            .body(crate::support::client::empty())
            .unwrap();
        let answer = connection.send(request).await;
        let own: Vec<_> = answer
            .text()
            .lines()
            .filter(|line| line.contains("skep"))
            .collect();
        assert!(own.is_empty(), "{own:?}");
        assert_eq!(
            seen(&answer, "x-user-email"),
            ["root"; 4],
            "it means nothing there"
        );
    }
    assert_named_by_connection_is_no_way_round(&host, &key).await;
    host.stop().await;
}

#[tokio::test]
async fn what_claims_are_told_in_nobody_says_on_the_services_other_routes_either() {
    let key = Key::ed25519("k");
    let more = "claims = { email = 'x-user-email' }\n\
         [[route]]\npath = '/a'\n[[route]]\npath = '/open'\nedge = { off = 'auth' }\n";
    let host = guarded_by(&[&key], more).start().await;
    let mut request = Request::get("/open");
    for name in ["x-user-email", "x_user_email", "X_USER-EMAIL"] {
        request = request.header(name, "root");
    }
    let answer = ask(&host, request).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(!answer.text().contains("root"), "{answer:?}");
    host.stop().await;
}

/// What the Connection header names is removed before the host sets its own.
async fn assert_named_by_connection_is_no_way_round(host: &Host, key: &Key) {
    let token = key.token(&json!({"email": "a@b"}));
    let request = bearer(&token).header("connection", "x-skep-identity, x-user-email");
    let answer = ask(host, request).await;
    assert_eq!(seen(&answer, "x-skep-identity"), ["alice"]);
    assert_eq!(seen(&answer, "x-user-email"), ["a@b"]);
    let request = bearer(&token).header("connection", "authorization");
    assert_refused(&ask(host, request).await, "taken away on the way");
}
