//! What a request may use bounds what its calls use.

use crate::support::log::Line;
use crate::support::{Host, fault, probe};

#[tokio::test]
async fn services_that_call_each_other_without_end_are_stopped() {
    let manifest = "[env]\nSELF_URL = \"http://rogue.internal/\"\n[allow]\nservices = [\"rogue\"]\n\
                    [limits]\ncpu = \"20s\"\ntimeout = \"50s\"\n";
    let host = Host::with("rogue", fault("calls_itself"))
        .manifest("rogue", manifest)
        .settings("[calls]\ndepth = 3\n")
        .start()
        .await;
    let answer = host.get("/rogue").await;
    assert_eq!(
        answer.status(),
        508,
        "what the last got goes back: {answer:?}"
    );
    // Each is logged when it is over, in any order.
    let is_call = |line: &Line| line.field("caller") == "rogue";
    host.nth_line("the fourth call", 4, is_call).await;
    host.logged(&answer).await;
    let calls = host.log.all(is_call);
    assert_eq!(calls.len(), 4, "{calls:#?}");
    let refused: Vec<_> = calls
        .iter()
        .filter(|line| line.field("cause") == "call_loop")
        .collect();
    assert_eq!(refused.len(), 1, "{calls:#?}");
    let detail = refused[0].field("detail");
    assert!(
        detail.contains("rogue → rogue → rogue → rogue → rogue: more than 3 calls deep"),
        "{detail}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_call_has_no_more_time_than_its_caller() {
    let host = Host::with("callee", probe("sleep_ms"))
        .manifest("callee", "[limits]\ntimeout = \"60s\"\n")
        .and("two", probe("fetch"))
        .manifest(
            "two",
            "[limits]\ntimeout = \"300ms\"\n[allow]\nservices = [\"callee\"]\n",
        )
        .start()
        .await;
    let answer = host.get("/two?url=http://callee.internal/?ms=50000").await;
    assert_eq!(answer.status(), 504, "{answer:?}");
    let called = host
        .log
        .find(|line| line.field("caller") == "two")
        .await
        .unwrap();
    let cause = called.field("cause");
    assert!(
        ["wall_deadline", "caller_gone"].contains(&&*cause),
        "{}",
        called.text()
    );
    host.works_on("callee", 0).await;
    host.stop().await;
}

#[tokio::test]
async fn a_call_has_no_more_cpu_time_than_its_caller_has_left() {
    let host = Host::with("callee", fault("endless_loop"))
        .manifest("callee", "[limits]\ncpu = \"50s\"\ntimeout = \"60s\"\n")
        .and("two", probe("fetch"))
        .manifest(
            "two",
            "[limits]\ncpu = \"100ms\"\ntimeout = \"60s\"\n[allow]\nservices = [\"callee\"]\n",
        )
        .start()
        .await;
    let answer = host.get("/two?url=http://callee.internal/").await;
    let called = host
        .log
        .find(|line| line.field("caller") == "two")
        .await
        .unwrap();
    assert_eq!(called.field("cause"), "cpu_deadline", "{}", called.text());
    // The caller has nothing left to go on with.
    assert_eq!(answer.status(), 504, "{answer:?}");
    host.stop().await;
}
