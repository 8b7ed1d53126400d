//! Keys at a URL: they change, and the URL fails, and nobody comes in who should not.

use futures::future::join_all;
use serde_json::json;

use super::auth_jwt::{ask, bearer, guarded};
use crate::support::issuer::{Issuer, Key, Says, key_set};
use crate::support::log::Line;
use crate::support::wait::until;
use crate::support::{Answer, Host};

fn assert_unknown(answer: &Answer) {
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert_eq!(answer.json()["type"], "urn:skep:fault:identity_unknown");
    assert!(answer.header("retry-after").is_some());
}

async fn status(host: &Host, key: &Key) -> u16 {
    let answer = ask(host, bearer(&key.token(&json!({})))).await;
    answer.status()
}

fn can_not_be_read(line: &Line) -> bool {
    line.text().contains("can't be read")
}

#[tokio::test]
async fn a_new_key_is_fetched_once_for_all_who_come_with_it() {
    let (old, new) = (Key::ed25519("old"), Key::ed25519("new"));
    let issuer = Issuer::start(Says::Keys(key_set(&[&old]))).await;
    let host = guarded(&issuer.url, "cooldown = '100ms'\n").start().await;
    assert_eq!(status(&host, &old).await, 200);
    issuer.says(Says::Keys(key_set(&[&old, &new])));
    let before = issuer.asked();
    until("it to be time for another look", async || {
        (status(&host, &Key::ed25519("other")).await == 401 && issuer.asked() > before)
            .then_some(())
    })
    .await;
    assert_eq!(status(&host, &new).await, 200);
    host.stop().await;

    let issuer = Issuer::start(Says::Keys(key_set(&[&old]))).await;
    let host = guarded(&issuer.url, "cooldown = '1h'\n").start().await;
    assert_eq!(status(&host, &old).await, 200);
    let tokens: Vec<_> = (0..20)
        .map(|at| Key::ed25519(&at.to_string()).token(&json!({})))
        .collect();
    let all = join_all(tokens.iter().map(|token| ask(&host, bearer(token)))).await;
    assert!(all.iter().all(|answer| answer.status() == 401));
    assert_eq!(issuer.asked(), 1, "it is too early for another look");
    host.stop().await;
}

#[tokio::test]
async fn many_with_an_unknown_key_wait_for_one_look() {
    let key = Key::ed25519("k");
    let issuer = Issuer::start(Says::Nothing).await;
    let host = guarded(&issuer.url, "").start().await;
    let token = key.token(&json!({}));
    let waiting = join_all((0..16).map(|_| ask(&host, bearer(&token))));
    let all = waiting.await;
    all.iter().for_each(assert_unknown);
    assert!(issuer.asked() <= 2, "{} looks", issuer.asked());
    issuer.says(Says::Keys(key_set(&[&key])));
    until("the keys to be known", async || {
        (status(&host, &key).await == 200).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_back_stops_tokens_that_were_good() {
    let (old, new) = (Key::ed25519("old"), Key::ed25519("new"));
    let issuer = Issuer::start(Says::Keys(key_set(&[&old, &new]))).await;
    let host = guarded(&issuer.url, "refresh = '1s'\n").start().await;
    let token = old.token(&json!({}));
    assert_eq!(ask(&host, bearer(&token)).await.status(), 200);
    issuer.says(Says::Keys(key_set(&[&new])));
    until("the key to be gone", async || {
        (ask(&host, bearer(&token)).await.status() == 401).then_some(())
    })
    .await;
    assert_eq!(status(&host, &new).await, 200);
    issuer.says(Says::Keys("{\"keys\": []}".to_owned()));
    until("all keys to be gone", async || {
        (status(&host, &new).await == 401).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn keys_hold_while_the_url_fails_until_they_are_stale() {
    let key = Key::ed25519("k");
    let issuer = Issuer::start(Says::Keys(key_set(&[&key]))).await;
    let more = "refresh = '1s'\nstale = '3s'\n";
    let host = guarded(&issuer.url, more).start().await;
    let token = key.token(&json!({}));
    assert_eq!(ask(&host, bearer(&token)).await.status(), 200);
    issuer.says(Says::Status("500 Internal Server Error"));
    let line = host.log_line("that the URL fails", can_not_be_read).await;
    assert!(line.text().contains("answers 500"), "{}", line.text());
    assert_eq!(ask(&host, bearer(&token)).await.status(), 200);
    let refused = until("the keys to be stale", async || {
        let answer = ask(&host, bearer(&token)).await;
        (answer.status() != 200).then_some(answer)
    })
    .await;
    assert_unknown(&refused);
    issuer.says(Says::Keys(key_set(&[&key])));
    until("the URL to be asked again", async || {
        (ask(&host, bearer(&token)).await.status() == 200).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_url_that_is_no_issuer_s_lets_nobody_in_and_ends_the_host_neither() {
    let key = Key::ed25519("k");
    let keys = key_set(&[&key]);
    let honest = Issuer::start(Says::Keys(keys.clone())).await;
    let many = json!({"keys": vec![key.jwk(); 101]}).to_string();
    let private = "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"k\", \"k\": \"AAAA\"}]}";
    for (says, expected) in [
        (Says::Status("503 Service Unavailable"), 503),
        (Says::Elsewhere(honest.url.clone()), 503),
        (Says::Endless, 503),
        (Says::Keys(keys[1..].to_owned()), 503),
        (Says::Keys(format!("{keys}{}", " ".repeat(256 << 10))), 503),
        (Says::Keys(many), 503),
        (Says::Keys("[".repeat(100_000)), 503),
        (Says::Keys("null".to_owned()), 503),
        (Says::Keys(private.to_owned()), 401),
    ] {
        let issuer = Issuer::start(says).await;
        let host = guarded(&issuer.url, "").start().await;
        assert_eq!(status(&host, &key).await, expected);
        assert_eq!(
            host.get("/a").await.status(),
            401,
            "nothing is asked of who has no token"
        );
        host.stop().await;
    }
    assert_eq!(honest.asked(), 0, "redirections are not followed");
}
