//! A request with a key is carried out once: the second gets what the first was answered, or is told why not.

use http::Request;

use crate::support::client::full;
use crate::support::wait::until;
use crate::support::{Answer, Host, probe};

const REPLAYED: &str = "idempotency-replayed";

async fn host(policy: &str) -> Host {
    Host::with("a", probe("as_told"))
        .manifest("a", &format!("[edge.idempotency]\n{policy}\n"))
        .start()
        .await
}

async fn send(host: &Host, path: &str, key: &str, body: &str) -> Answer {
    let request = Request::post(path).header("idempotency-key", key);
    host.request(request.body(full(body.to_owned())).unwrap())
        .await
}

/// How often the service was asked for a path, as it has said in the log.
fn runs(host: &Host, path: &str) -> usize {
    let ends = format!(" of {path}");
    let fits = |line: &crate::support::log::Line| {
        let message = line.message();
        message.starts_with("run ") && message.ends_with(&ends)
    };
    host.log.all(fits).len()
}

#[tokio::test]
async fn the_second_request_gets_what_the_first_was_answered() {
    let host = host("").await;
    let path = "/a/pay?status=201&bytes=100&h1=set-cookie:a=b&h2=set-cookie:c=d";
    let first = send(&host, path, "\"key\"", "body").await;
    assert_eq!((first.status(), first.header(REPLAYED)), (201, None));
    for key in ["\"key\"", "key"] {
        let again = send(&host, path, key, "body").await;
        assert_eq!(again.header(REPLAYED), Some("true"));
        assert_eq!((again.status(), again.bytes()), (201, first.bytes()));
        assert_eq!(again.header("x-run"), first.header("x-run"));
        let cookies = |answer: &Answer| answer.headers().get_all("set-cookie").iter().count();
        assert_eq!(cookies(&again), 2);
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    // Over another version of HTTP it is the same request.
    let request = Request::post(path).header("idempotency-key", "key");
    let request = request.body(full("body")).unwrap();
    let again = host.connect_h2().await.once(request).await.finish().await;
    assert_eq!(again.header("x-run"), first.header("x-run"));
    // Another request with the key, by body, query or method.
    assert_eq!(send(&host, path, "key", "other").await.status(), 422);
    let other = send(&host, "/a/pay?status=201", "key", "body").await;
    assert_eq!(
        other.problem().r#type,
        "urn:skep:fault:idempotency_key_reused"
    );
    let patch = Request::patch(path).header("idempotency-key", "key");
    let patch = host.request(patch.body(full("body")).unwrap()).await;
    assert_eq!(patch.status(), 422);
    // Another host, key, and none.
    let request = Request::post(path)
        .header("host", "other.example")
        .header("idempotency-key", "key");
    let elsewhere = host.request(request.body(full("body")).unwrap()).await;
    assert_eq!(
        (elsewhere.status(), elsewhere.header(REPLAYED)),
        (201, None)
    );
    let new = send(&host, path, "new", "body").await;
    assert_ne!(new.header("x-run"), first.header("x-run"));
    let none = Request::post(path).body(full("body")).unwrap();
    assert_eq!(host.request(none).await.header(REPLAYED), None);
    host.stop().await;
}

#[tokio::test]
async fn one_of_two_at_once_is_carried_out_and_the_other_told_to_wait() {
    let host = host("").await;
    let path = "/a?ms=300";
    let all = (0..8).map(|_| send(&host, path, "key", ""));
    let all = futures::future::join_all(all).await;
    let with = |status| all.iter().filter(move |answer| answer.status() == status);
    let (done, early) = (with(200).count(), with(409).count());
    assert_eq!(done + early, 8);
    for answer in with(409) {
        assert_eq!(answer.header("retry-after"), Some("1"));
        let cause = "urn:skep:fault:idempotency_in_flight";
        assert_eq!(answer.json()["type"], cause);
    }
    let ran = with(200).find(|answer| answer.header(REPLAYED).is_none());
    let later = send(&host, path, "key", "").await;
    assert_eq!(later.header("x-run"), ran.unwrap().header("x-run"));
    assert_eq!(later.header(REPLAYED), Some("true"));
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_does_not_undo_what_it_asked_for() {
    let host = host("").await;
    let path = "/a?ms=200&bytes=10";
    let mut wire = host.wire().await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nidempotency-key: key\r\ncontent-length: 0\r\n\r\n"
    );
    wire.send(request.as_bytes()).await;
    let begun = "the service to be asked";
    host.log_line(begun, |line| line.message().starts_with("run "))
        .await;
    drop(wire);
    let answer = until("the first request to end", async || {
        let answer = send(&host, path, "key", "").await;
        (answer.status() != 409).then_some(answer)
    })
    .await;
    assert_eq!(answer.header(REPLAYED), Some("true"));
    assert_eq!(answer.bytes().len(), 10);
    host.stop().await;
}

#[tokio::test]
async fn failures_leave_the_key_free_and_answers_too_long_to_keep_do_not() {
    let host = host("body_max = \"1KiB\"").await;
    for (path, status) in [
        ("/a?status=500", 500),
        ("/a?status=429", 429),
        ("/a?bytes=9&end=trap", 502),
    ] {
        let key = format!("\"{path}\"");
        let first = send(&host, path, &key, "").await;
        let second = send(&host, path, &key, "").await;
        assert_eq!(
            (first.status(), second.status()),
            (status, status),
            "{path}"
        );
        assert_eq!(second.header(REPLAYED), None, "{path}");
    }
    let path = "/a?bytes=5000";
    let long = send(&host, path, "long", "").await;
    assert_eq!((long.status(), long.bytes().len()), (200, 5000));
    let again = send(&host, path, "long", "").await;
    assert_eq!(
        again.problem().r#type,
        "urn:skep:fault:idempotency_in_doubt"
    );
    assert_eq!((again.status(), again.header("retry-after")), (409, None));
    let exact = send(&host, "/a?bytes=1024", "exact", "").await;
    let again = send(&host, "/a?bytes=1024", "exact", "").await;
    assert_eq!(again.header("x-run"), exact.header("x-run"));
    // A body as long as is allowed, and one byte more.
    let body = "x".repeat(1024);
    assert_eq!(send(&host, "/a", "body", &body).await.status(), 200);
    let over = send(&host, "/a", "over", &format!("{body}x")).await;
    assert_eq!(over.status(), 413);
    assert_eq!(runs(&host, "/"), 1);
    host.stop().await;
}

#[tokio::test]
async fn keys_are_needed_where_the_policy_says_so_and_may_be_anything_elsewhere() {
    let host = host("required = true\nmethods = [\"PUT\"]").await;
    let put = |keys: &[&str]| {
        let mut request = Request::put("/a");
        for key in keys {
            request = request.header("idempotency-key", *key);
        }
        request.body(full("")).unwrap()
    };
    let missing = host.request(put(&[])).await;
    assert_eq!(missing.status(), 400);
    assert_eq!(
        missing.problem().r#type,
        "urn:skep:fault:idempotency_key_missing"
    );
    let long = "k".repeat(256);
    for keys in [
        &[""][..],
        &["\""],
        &["a, b"],
        &["a", "b"],
        &["a b"],
        &[long.as_str()],
    ] {
        let answer = host.request(put(keys)).await;
        assert_eq!(answer.status(), 400, "{keys:?}");
        let problem = answer.problem();
        assert_eq!(problem.r#type, "urn:skep:fault:idempotency_key_malformed");
    }
    assert_eq!(runs(&host, "/"), 0);
    let hostile = "\"'); DROP TABLE keys; --\"";
    assert_eq!(host.request(put(&[hostile])).await.status(), 200);
    assert_eq!(send(&host, "/a", "\"", "").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn keys_of_different_routes_have_nothing_in_common_and_expire() {
    let routes =
        "[[route]]\npath = \"/x\"\n[[route]]\npath = \"/y/{*rest}\"\nstrip_prefix = true\n";
    let host = Host::with("a", probe("as_told"))
        .manifest(
            "a",
            &format!("{routes}[edge.idempotency]\nexpiry = \"1s\"\n"),
        )
        .start()
        .await;
    let one = send(&host, "/x", "key", "").await;
    let other = send(&host, "/y/z", "key", "").await;
    assert_eq!((one.status(), other.status()), (200, 200));
    assert_eq!(other.header(REPLAYED), None);
    let anew = until("the key to expire", async || {
        let answer = send(&host, "/x", "key", "").await;
        answer.header(REPLAYED).is_none().then_some(answer)
    })
    .await;
    assert_ne!(anew.header("x-run"), one.header("x-run"));
    host.stop().await;
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_in_doubt_and_what_was_refused_is_not() {
    let limits = "[limits]\ntimeout = \"3s\"\nconcurrency = 1\nqueue = 1\n";
    let host = Host::with("a", probe("as_told"))
        .manifest("a", &format!("{limits}[edge.idempotency]\n"))
        .start()
        .await;
    let path = "/a?ms=60000";
    let mut refused = None;
    let (late, ()) = tokio::join!(send(&host, path, "late", ""), async {
        let begun = "the service to be asked";
        host.log_line(begun, |line| line.message().starts_with("run "))
            .await;
        let (_, ()) = tokio::join!(send(&host, "/a", "waits", ""), async {
            host.queues("a", 1).await;
            refused = Some(send(&host, "/a", "refused", "").await);
        });
    });
    assert_eq!(late.status(), 504);
    let refused = refused.unwrap().problem().r#type;
    assert_eq!(refused, "urn:skep:fault:queue_full");
    let again = send(&host, path, "late", "").await;
    assert_eq!(
        again.problem().r#type,
        "urn:skep:fault:idempotency_in_doubt"
    );
    assert_eq!(runs(&host, "/?ms=60000"), 1);
    let answer = until("the place to be free", async || {
        let answer = send(&host, "/a", "refused", "").await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.header(REPLAYED), None);
    // A body that does not arrive in the request's time begins nothing.
    let mut wire = host.wire().await;
    wire.send(
        "POST /a HTTP/1.1\r\nhost: 127.0.0.1\r\nidempotency-key: slow\r\ncontent-length: 2\r\n\r\nx",
    )
    .await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head:?}");
    assert_eq!(send(&host, "/a", "slow", "xx").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn clients_that_say_who_they_are_do_not_share_keys() {
    let host = host("").await;
    let ask = async |who: Option<&str>| {
        let request = Request::post("/a").header("idempotency-key", "key");
        let request = match who {
            Some(who) => request.header("authorization", who),
            None => request,
        };
        let answer = host.request(request.body(full("")).unwrap()).await;
        answer.header(REPLAYED).is_some()
    };
    for who in [None, Some("Bearer one"), Some("Bearer two")] {
        assert!(!ask(who).await, "{who:?}");
        assert!(ask(who).await, "{who:?}");
    }
    host.stop().await;
}
