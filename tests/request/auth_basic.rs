//! Users and passwords let in whom they are of.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::Version;
use futures::future::join_all;
use http::Request;
use http::request::Builder;

use super::auth_jwt::{ask, seen};
use crate::support::client::curl;
use crate::support::setup::Setup;
use crate::support::wait::until;
use crate::support::{Answer, Host, guest, probe};

/// Least work for a test.
const COST: u32 = 4;

fn hash(password: &str, cost: u32, version: Version) -> String {
    let hash = bcrypt::hash_with_result(password, cost).unwrap();
    hash.format_for_version(version)
}

/// A service that answers with the headers that it got, for users of a file.
fn guarded(users: &[(&str, &str)], more: &str) -> Setup {
    let manifest = format!("[edge.auth.basic]\nfile = 'users'\n{more}\n");
    let setup = Host::with("a", probe("headers")).manifest("a", &manifest);
    setup.put("users", lines(users));
    setup
}

fn lines(users: &[(&str, &str)]) -> String {
    let line = |(name, password): &(&str, &str)| {
        format!("{name}:{}\n", hash(password, COST, Version::TwoY))
    };
    users.iter().map(line).collect()
}

fn basic(pair: impl AsRef<[u8]>) -> Builder {
    let pair = BASE64_STANDARD.encode(pair);
    Request::get("/a").header("authorization", format!("Basic {pair}"))
}

fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status(), 401, "{what}: {answer:?}");
    let challenge = "Basic realm=\"skep\", charset=\"UTF-8\"";
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    assert_eq!(answer.json()["type"], "urn:skep:fault:unauthenticated");
}

#[tokio::test]
async fn curl_comes_in_with_the_right_password() {
    let host = guarded(&[("alice", "open sesame"), ("bob é", "pässword")], "")
        .start()
        .await;
    for (user, password, expected) in [
        ("alice", "open sesame", "200"),
        ("bob é", "pässword", "200"),
        ("alice", "open sesam", "401"),
        ("alice", "open sesamee", "401"),
        ("alice", "", "401"),
        ("Alice", "open sesame", "401"),
        ("bob é", "open sesame", "401"),
        ("nobody", "open sesame", "401"),
    ] {
        for _ in 0..2 {
            let pair = format!("{user}:{password}");
            let url = format!("http://{}/a", host.gateway);
            let said = curl(&["--user", &pair, "--write-out", "%{http_code}", &url]).await;
            assert!(said.ends_with(expected), "{user} {password}: {said}");
            let says = |line: String| said.lines().any(|said| said == line);
            let is_told =
                says(format!("x-skep-identity: {user}")) && says("x-skep-auth: basic".to_owned());
            assert_eq!(is_told, expected == "200", "{said}");
            assert!(!said.contains("authorization"), "{said}");
        }
    }
    assert_refused(&host.get("/a").await, "nothing");
    host.stop().await;
}

#[tokio::test]
async fn what_is_no_user_and_password_is_refused() {
    let host = guarded(&[("alice", "a:b"), ("long", &"x".repeat(71))], "")
        .start()
        .await;
    assert_eq!(ask(&host, basic("alice:a:b")).await.status(), 200);
    assert_eq!(
        ask(&host, basic(format!("long:{}", "x".repeat(71))))
            .await
            .status(),
        200
    );
    let longer = format!("long:{}", "x".repeat(72));
    let longest = format!("alice:{}", "x".repeat(4000));
    for pair in [
        &b"alice"[..],
        b"",
        b":",
        b":a:b",
        b"alice:a:b\0",
        b"alice:a:b\n",
        b"\xff:\xff",
        b"alice\0:a:b",
        longer.as_bytes(),
        longest.as_bytes(),
    ] {
        assert_refused(
            &ask(&host, basic(pair)).await,
            &String::from_utf8_lossy(pair),
        );
    }
    for authorization in [
        "Basic",
        "Basic ",
        "Basic !",
        "Basic YWxpY2U6YTpi=",
        "Bearer YWxpY2U6YTpi",
        "YWxpY2U6YTpi",
    ] {
        let request = Request::get("/a").header("authorization", authorization);
        assert_refused(&ask(&host, request).await, authorization);
    }
    let twice = basic("alice:a:b").header("authorization", "Basic YWxpY2U6YTpi");
    assert_refused(&ask(&host, twice).await, "twice");
    host.stop().await;
}

#[tokio::test]
async fn users_are_read_again_when_their_file_changes_and_no_secret_is_told() {
    let host = guarded(&[("alice", "first")], "").start().await;
    assert_eq!(ask(&host, basic("alice:first")).await.status(), 200);
    host.put("users", lines(&[("alice", "second")]));
    until("the new password to be known", async || {
        (ask(&host, basic("alice:second")).await.status() == 200).then_some(())
    })
    .await;
    assert_refused(&ask(&host, basic("alice:first")).await, "it was known");
    host.put(
        "users",
        format!("{}bob:secret\n", lines(&[("alice", "third")])),
    );
    host.log_line("what is wrong", |line| line.text().contains("line 2"))
        .await;
    let answer = ask(&host, basic("alice:second")).await;
    assert_eq!(answer.status(), 200, "what was there holds");
    host.logged(&answer).await;
    let told = |line: &crate::support::log::Line| {
        ["second", "secret", "$2y$", "YWxpY2U6"]
            .iter()
            .any(|secret| line.text().contains(secret))
    };
    assert!(host.log.all(told).is_empty());
    for path in [
        "/v1/services",
        "/v1/services/a",
        "/v1/events",
        "/v1/services/a/revisions",
    ] {
        let said = host.admin(path).await;
        assert!(!said.text().contains("$2y$"), "{path}: {said:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn whoever_guesses_passwords_holds_up_nobody_else() {
    let hash = hash("right", 12, Version::TwoB);
    let manifest = format!("[edge.auth.basic]\nusers = {{ alice = '{hash}' }}\n");
    let host = Host::with("a", probe("headers"))
        .manifest("a", &manifest)
        .and("open", guest("hello"))
        .start()
        .await;
    assert_eq!(ask(&host, basic("alice:right")).await.status(), 200);
    let guesses: Vec<_> = (0..120).map(|at| basic(format!("nobody:{at}"))).collect();
    let guesses = join_all(guesses.into_iter().map(|guess| ask(&host, guess)));
    let others = async {
        let known = ask(&host, basic("alice:right")).await;
        assert_eq!(
            known.status(),
            200,
            "a password that is known need not wait"
        );
        assert_eq!(seen(&known, "x-skep-identity"), ["alice"]);
        assert_eq!(host.get("/open").await.status(), 200);
    };
    let (guesses, ()) = tokio::join!(guesses, others);
    let count = |status: u16| {
        guesses
            .iter()
            .filter(|answer| answer.status() == status)
            .count()
    };
    assert_eq!(count(401) + count(503), 120, "{guesses:?}");
    let is_too_many = |line: &crate::support::log::Line| line.field("detail").contains("too many");
    host.log_line("that no more wait than there is room for", is_too_many)
        .await;
    let late = guesses
        .iter()
        .find(|answer| answer.status() == 503)
        .unwrap();
    assert_eq!(late.json()["type"], "urn:skep:fault:identity_unknown");
    host.stop().await;
}
