//! Requests finish on the revision that they started on; what is late when `timeouts.drain` is over is cut.

use http::Request;

use crate::support::client::streamed;
use crate::support::{Host, guest, probe};

const SHORT_DRAIN: &str = "[timeouts]\ndrain = \"200ms\"\n";

#[tokio::test]
async fn a_held_body_is_finished_by_the_revision_that_began_it() {
    let host = Host::with("a", probe("pipe")).start().await;
    let (mut upload, body) = streamed();
    let mut reply = host.open(Request::post("/a").body(body).unwrap()).await;
    assert!(upload.send("before the swap, ").await);
    assert_eq!(reply.chunk().await.unwrap(), "before the swap, ");

    host.deploy("a", guest("hello"));
    host.promoted("a", 2).await;
    let fresh = host.get("/a").await;
    assert_eq!(fresh.text(), "Hello from hello revision 1: GET /\n");
    let detail = host.admin("/v1/services/a").await.json();
    assert_eq!(detail["retiring"][0]["revision"], 1, "{detail}");
    assert_eq!(detail["retiring"][0]["leases"], 1, "{detail}");

    assert!(upload.send("after it").await);
    drop(upload);
    let answer = reply.finish().await;
    assert_eq!(answer.text(), "after it");
    host.log_line("revision 1 retired", |line| {
        line.says("revision retired", "a") && line.field("revision") == "1"
    })
    .await;
    assert!(
        host.log
            .all(|line| !line.field("late").is_empty())
            .is_empty()
    );
    host.stop().await;
}

#[tokio::test]
async fn a_request_without_an_answer_yet_gets_it_from_the_revision_that_began_it() {
    let host = Host::with("a", probe("sleep_ms")).start().await;
    let in_flight = host.begin("/a?ms=2000").await;
    host.works_on("a", 1).await;
    host.deploy("a", probe("revision_b"));
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    assert_eq!(in_flight.finish().await.text(), "slept 2000\n");
    host.stop().await;
}

#[tokio::test]
async fn bodies_that_are_late_are_cut_and_counted() {
    let host = Host::with("a", probe("pipe"))
        .settings(SHORT_DRAIN)
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let (mut upload, body) = streamed();
        let mut reply = host.open(Request::post("/a").body(body).unwrap()).await;
        assert!(upload.send("half").await);
        assert_eq!(reply.chunk().await.unwrap(), "half");
        held.push((upload, reply));
    }
    host.deploy("a", guest("hello"));
    host.promoted("a", 2).await;
    let line = host
        .log_line("what was late", |line| !line.field("late").is_empty())
        .await;
    assert_eq!(line.field("late"), "2", "{}", line.text());
    assert_eq!(line.field("service"), "a");
    assert_eq!(line.field("revision"), "1");
    assert_eq!(line.level(), "WARN");
    for (_upload, reply) in held {
        let answer = reply.finish().await;
        assert!(answer.cut.is_some(), "the body looks whole: {answer:?}");
        assert_eq!(host.logged(&answer).await.field("blame"), "host");
    }
    assert_eq!(host.get("/a").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn a_late_request_without_an_answer_yet_is_told_to_come_back() {
    let host = Host::with("a", probe("sleep_ms"))
        .manifest("a", "[limits]\ntimeout = \"60s\"\n")
        .settings(SHORT_DRAIN)
        .start()
        .await;
    let in_flight = host.begin("/a?ms=50000").await;
    host.works_on("a", 1).await;
    host.deploy("a", probe("revision_b"));
    host.promoted("a", 2).await;
    let answer = in_flight.finish().await;
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert_eq!(answer.problem().service.as_deref(), Some("a"));
    host.stop().await;
}

#[tokio::test]
async fn who_waited_during_a_swap_leaves_no_instance_that_takes_room_from_the_new_revision() {
    let host = Host::with("a", probe("sleep_ms"))
        .manifest(
            "a",
            "[instances]\nreuse = 1000\n[limits]\nconcurrency = 1\n",
        )
        .settings("[pool]\ninstances = 1\n")
        .start()
        .await;
    let held = host.begin("/a?ms=1000").await;
    host.works_on("a", 1).await;
    let queued = host.begin("/a?ms=1").await;
    host.queues("a", 1).await;
    host.deploy("a", probe("revision_b"));
    host.promoted("a", 2).await;
    assert_eq!(held.finish().await.text(), "slept 1000\n");
    assert_eq!(queued.finish().await.text(), "slept 1\n");
    assert_eq!(host.revision_at("/a").await, "b");
    host.stop().await;
}
