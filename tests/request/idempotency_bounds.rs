//! What is in doubt of a request with a key whose service failed, whoever answered in the end; and what waits for the keys.

use http::Request;

use crate::support::client::full;
use crate::support::elsewhere::Elsewhere;
use crate::support::wait::until;
use crate::support::{Answer, Host, fault, guest, probe};

const IN_DOUBT: &str = "urn:skep:fault:idempotency_in_doubt";
const REPLAYED: &str = "idempotency-replayed";

async fn put(host: &Host, path: &str) -> Answer {
    let request = Request::put(path).header("idempotency-key", "key");
    host.request(request.body(full("")).unwrap()).await
}

#[tokio::test]
async fn a_further_try_that_is_refused_does_not_free_the_key_of_one_that_acted() {
    let elsewhere = Elsewhere::start().await;
    let manifest = format!(
        "[edge.idempotency]\nmethods = [\"PUT\"]\n[allow]\nhosts = [{:?}]\n\
         [retry]\nattempts = 2\nbackoff = \"1ms\"\n\
         [breaker]\nwindow_calls = 1\nminimum_calls = 1\nopen = \"1h\"\n",
        elsewhere.origin()
    );
    let host = Host::with("a", probe("fetch_then_trap"))
        .manifest("a", &manifest)
        .start()
        .await;
    let path = format!("/a?url={}", elsewhere.url());
    let refused = put(&host, &path).await;
    assert_eq!(refused.problem().r#type, "urn:skep:fault:breaker_open");
    assert_eq!(elsewhere.asked(), 1);
    assert_eq!(put(&host, &path).await.problem().r#type, IN_DOUBT);
    host.stop().await;
}

#[tokio::test]
async fn an_answer_of_another_service_does_not_free_the_key_of_one_that_acted() {
    let elsewhere = Elsewhere::start().await;
    let covered = "[edge.idempotency]\nmethods = [\"PUT\"]\n[fallback]\nservice = \"other\"\n";
    let allowing = format!("{covered}[allow]\nhosts = [{:?}]\n", elsewhere.origin());
    let host = Host::with("other", guest("hello"))
        .and("acts", probe("fetch_then_trap"))
        .manifest("acts", &allowing)
        .and("idle", fault("trap"))
        .manifest("idle", covered)
        .start()
        .await;
    let path = format!("/acts?url={}", elsewhere.url());
    let first = put(&host, &path).await;
    assert_eq!(first.status(), 200, "{first:?}");
    assert_eq!(first.header("x-skep-fallback"), Some("other"));
    assert_eq!(put(&host, &path).await.problem().r#type, IN_DOUBT);
    assert_eq!(elsewhere.asked(), 1);
    // What failed before it sent anything to anyone can be tried again.
    for _ in 0..2 {
        let answer = put(&host, "/idle").await;
        assert_eq!((answer.status(), answer.header(REPLAYED)), (200, None));
    }
    host.stop().await;
}

#[tokio::test]
async fn keys_that_can_not_be_looked_up_are_waited_for_until_the_deadline() {
    let limits = "[limits]\ntimeout = \"3s\"\n";
    let host = Host::with("a", probe("as_told"))
        .manifest(
            "a",
            &format!("{limits}[edge.idempotency]\nmethods = [\"PUT\"]\n"),
        )
        .start()
        .await;
    assert_eq!(put(&host, "/a").await.status(), 200);
    let database = rusqlite::Connection::open(host.state().join("idempotency.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let request = || Request::put("/a").header("idempotency-key", "other");
    let late = host.request(request().body(full("")).unwrap()).await;
    assert_eq!(late.status(), 500);
    let detail = host.logged(&late).await.field("detail");
    assert!(detail.contains("[limits] timeout passed"), "{detail}");
    database.execute_batch("COMMIT").unwrap();
    // Nobody waited for the key when it was taken.
    let answer = until("the key to be free", async || {
        let answer = host.request(request().body(full("")).unwrap()).await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.header(REPLAYED), None);
    host.stop().await;
}
