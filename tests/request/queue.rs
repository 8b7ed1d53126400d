//! What a service does not work on at once waits in order, up to a bound, and no longer than its time allows.
//!
//! A slot is held by a request whose body the test has not ended yet.

use futures::StreamExt;
use futures::channel::mpsc;
use http::Request;

use crate::support::client::{Upload, empty, streamed};
use crate::support::wait::{until, within};
use crate::support::{Answer, Host, guest, probe};

/// Begins a request to `/a` that works for as long as its upload is kept.
async fn hold(host: &Host) -> (Upload, tokio_util::task::AbortOnDropHandle<Answer>) {
    let (upload, body) = streamed();
    let mut connection = host.connect().await;
    let request = Request::post("/a").body(body).unwrap();
    let task = tokio::spawn(async move { connection.send(request).await });
    (upload, tokio_util::task::AbortOnDropHandle::new(task))
}

#[tokio::test]
async fn past_the_queue_a_request_is_refused_at_once_and_those_in_it_are_served_in_order() {
    let limits = "[limits]\nconcurrency = 1\nqueue = 3\ntimeout = \"60s\"\n";
    // The head of its answer shows that a request has its turn; it keeps it until its upload ends.
    let host = Host::with("a", guest("echo"))
        .manifest("a", limits)
        .start()
        .await;
    let (turns, mut turn) = mpsc::unbounded();
    for number in 0..=3 {
        let (upload, body) = streamed();
        let mut connection = host.connect().await;
        let turns = turns.clone();
        tokio::spawn(async move {
            let reply = connection
                .open(Request::post("/a").body(body).unwrap())
                .await
                .unwrap();
            turns
                .unbounded_send((number, upload, reply, connection))
                .unwrap();
        });
        host.works_on("a", 1).await;
        host.queues("a", number).await;
    }
    let refused = host.get("/a").await;
    assert_eq!(refused.status(), 503, "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.problem().r#type, "urn:skep:fault:queue_full");
    for expected in 0..=3 {
        let (number, upload, mut reply, _connection) = within("a turn", turn.next()).await.unwrap();
        assert_eq!(number, expected);
        host.queues("a", 3 - number).await;
        drop(upload);
        assert_eq!(reply.chunk().await, None);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_slot_is_free_again_after_every_kind_of_end() {
    let limits = "[limits]\nconcurrency = 1\nqueue = 1\ntimeout = \"60s\"\n";
    let host = Host::with("a", probe("upload"))
        .manifest("a", limits)
        .start()
        .await;
    // Hung up while at work, and while waiting.
    let (_upload, first) = hold(&host).await;
    host.works_on("a", 1).await;
    let waits = host.begin("/a").await;
    host.queues("a", 1).await;
    drop(waits);
    host.queues("a", 0).await;
    drop(first);
    host.works_on("a", 0).await;
    let answer = host
        .request(Request::get("/a").body(empty()).unwrap())
        .await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    host.stop().await;
}

#[tokio::test]
async fn waiting_counts_as_time() {
    let limits = "[limits]\nconcurrency = 1\ntimeout = \"500ms\"\n";
    let host = Host::with("a", guest("echo"))
        .manifest("a", limits)
        .start()
        .await;
    // Once its answer has begun, a request may take its time.
    let (mut upload, body) = streamed();
    let mut reply = host.open(Request::post("/a").body(body).unwrap()).await;
    let late = host.get("/a").await;
    assert_eq!(late.status(), 504, "{late:?}");
    assert_eq!(late.problem().r#type, "urn:skep:fault:wall_deadline");
    let line = host.logged(&late).await;
    assert!(
        line.field("detail").contains("waited for its turn"),
        "{}",
        line.text()
    );
    assert!(upload.send("still here").await);
    assert_eq!(reply.chunk().await.unwrap(), "still here");
    drop(upload);
    assert_eq!(reply.chunk().await, None);
    host.stop().await;
}

#[tokio::test]
async fn an_adaptive_limit_begins_low_and_rises_as_answers_come_in_time() {
    let host = Host::with("a", guest("hello"))
        .manifest("a", "[limits]\nconcurrency = 50\nadaptive = true\n")
        .and("b", guest("hello"))
        .start()
        .await;
    let limit = async |service: &str| {
        let labels = [("service", service)];
        host.metric("skep_concurrency_limit", &labels)
            .await
            .unwrap()
    };
    assert!(limit("a").await <= 3.0);
    assert!((limit("b").await - 64.0).abs() < 0.1);
    let mut connection = host.connect().await;
    until("the limit to rise", async || {
        for _ in 0..20 {
            assert_eq!(connection.get("/a").await.status(), 200);
        }
        (limit("a").await > 10.0).then_some(())
    })
    .await;
    host.stop().await;
}
