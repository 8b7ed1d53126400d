//! What a caller's manifest says about its calls to one other service: `[callee.NAME]`.

use crate::support::setup::Setup;
use crate::support::wait::until;
use crate::support::{Host, fault, guest, probe};

/// `callee`, and the services `strict`, which has rules for its calls to it, and `plain`, which has none.
fn callers(callee: impl AsRef<std::path::Path>, of_callee: &str, rules: &str) -> Setup {
    let may_call = "[allow]\nservices = [\"callee\", \"other\"]\n";
    Host::with("callee", callee)
        .manifest("callee", of_callee)
        .and("other", guest("hello"))
        .and("strict", probe("fetch"))
        .manifest("strict", &format!("{may_call}{rules}"))
        .and("plain", probe("fetch"))
        .manifest("plain", may_call)
}

const CALL: &str = "?url=http://callee.internal/";

#[tokio::test]
async fn no_more_calls_are_under_way_than_the_caller_wants() {
    let rules = "[callee.callee]\nconcurrency = 1\n";
    let host = callers(probe("sleep_ms"), "", rules).start().await;
    let long = format!("{CALL}%3Fms=60000");
    let held = host.begin(&format!("/strict{long}")).await;
    host.works_on("callee", 1).await;
    let refused = host.get(&format!("/strict{CALL}%3Fms=1")).await;
    assert_eq!(refused.status(), 503, "{refused:?}");
    assert!(
        refused.text().contains("urn:skep:fault:queue_full"),
        "{refused:?}"
    );
    let other = host.get("/strict?url=http://other.internal/").await;
    assert_eq!(other.status(), 200, "{other:?}");
    let plain = host.get(&format!("/plain{CALL}%3Fms=1")).await;
    assert_eq!(plain.status(), 200, "{plain:?}");
    // A place is free again when its call is over, whatever became of it.
    drop(held);
    host.works_on("callee", 0).await;
    until("a place to be free", async || {
        let answer = host.get(&format!("/strict{CALL}%3Fms=1")).await;
        (answer.status() == 200).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_caller_in_a_hurry_gives_up_and_the_callee_is_not_blamed() {
    let breaker = "[breaker]\nwindow_calls = 2\nminimum_calls = 1\n";
    let rules = "[callee.callee]\ntimeout = \"100ms\"\n[callee.callee.breaker]\nwindow_calls = 2\nminimum_calls = 1\n";
    let host = callers(probe("sleep_ms"), breaker, rules).start().await;
    let answer = host.get(&format!("/strict{CALL}%3Fms=60000")).await;
    assert_eq!(answer.status(), 504, "{answer:?}");
    // Its own breaker has opened, the callee's has not.
    let refused = host.get(&format!("/strict{CALL}%3Fms=1")).await;
    assert_eq!(refused.status(), 503, "{refused:?}");
    assert!(
        refused.text().contains("urn:skep:fault:breaker_open"),
        "{refused:?}"
    );
    let plain = host.get(&format!("/plain{CALL}%3Fms=1")).await;
    assert_eq!(plain.status(), 200, "{plain:?}");
    assert_eq!(
        host.admin("/v1/services/callee").await.json()["breaker"],
        "closed"
    );
    let graph = host.admin("/v1/graph").await.json();
    let edges = graph["edges"].as_array().unwrap().iter();
    let strict = { edges }.find(|edge| edge["caller"] == "strict" && edge["callee"] == "callee");
    assert_eq!(strict.unwrap()["breaker"], "open", "{graph:#}");
    host.stop().await;
}

#[tokio::test]
async fn calls_are_tried_again_as_the_caller_wants() {
    let rules = "[callee.callee.retry]\nbackoff = \"1ms\"\nretry_unobserved = false\n";
    let reuse = "[instances]\nreuse = 10\nstep_down = \"0s\"\n";
    let host = callers(probe("trap_at"), reuse, rules).start().await;
    let second = format!("{CALL}%3Ftrap=2");
    for (caller, expected) in [("strict", 200), ("plain", 502)] {
        // One connection stays on one lane, with one instance of the callee: the second request has it trap.
        let mut connection = host.connect().await;
        let path = format!("/{caller}{second}");
        let mut last = connection.get(&path).await;
        while last.status() == 200 && expected == 502 {
            last = connection.get(&path).await;
        }
        let answer = if expected == 200 {
            connection.get(&path).await
        } else {
            last
        };
        assert_eq!(answer.status(), expected, "{caller}: {answer:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn rules_of_a_caller_and_of_its_callee_go_together() {
    let of_callee = "[breaker]\n[rate_limit]\nrequests_per_second = 1000\n";
    for rules in [
        "[callee.callee.retry]\n",
        "[callee.callee.fallback]\nservice = \"other\"\n",
        "[callee.callee]\ntimeout = \"1s\"\n",
    ] {
        let host = callers(guest("hello"), of_callee, rules).start().await;
        for _ in 0..3 {
            let answer = host.get(&format!("/strict{CALL}")).await;
            assert_eq!(answer.status(), 200, "{rules}: {answer:?}");
        }
        host.stop().await;
    }
}

#[tokio::test]
async fn a_call_that_finds_no_place_is_answered_by_the_callers_fallback() {
    let rules = "[callee.callee]\nconcurrency = 1\n[callee.callee.fallback]\nservice = \"other\"\n";
    let host = callers(probe("sleep_ms"), "", rules).start().await;
    let held = host.begin(&format!("/strict{CALL}%3Fms=60000")).await;
    host.works_on("callee", 1).await;
    let answer = host.get(&format!("/strict{CALL}%3Fms=1")).await;
    assert_eq!(
        answer.text(),
        "Hello from hello revision 1: GET /?ms=1\n",
        "{answer:?}"
    );
    drop(held);
    host.stop().await;
}

#[tokio::test]
async fn a_callers_rules_lie_above_those_of_the_callee() {
    let own = "[retry]\nbackoff = \"1ms\"\n[fallback]\nstatus = 203\nbody = \"of the callee\"\n";
    let rules = "[callee.callee.retry]\nbackoff = \"1ms\"\n[callee.callee.fallback]\nstatus = 202\nbody = \"of the caller\"\n";
    let host = callers(fault("trap"), own, rules).start().await;
    let answer = host.get(&format!("/strict{CALL}")).await;
    assert_eq!(
        (answer.status(), answer.text()),
        (202, "of the caller"),
        "{answer:?}"
    );
    let answer = host.get(&format!("/plain{CALL}")).await;
    assert_eq!(
        (answer.status(), answer.text()),
        (203, "of the callee"),
        "{answer:?}"
    );
    // Two tries of the callee's for each of the caller's two, but three in all are what one request may take.
    let tried = host
        .metric("skep_retries_total", &[("service", "callee")])
        .await;
    assert_eq!(tried, Some(3.0));
    host.stop().await;
}
