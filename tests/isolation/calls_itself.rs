//! A service that calls itself without end takes its own slots and nobody else's; every call ends.

use crate::support::rogue::beside_victim;
use crate::support::{Host, fault, guest};

/// Few slots, so that the calls of one request take them all.
const SLOTS: usize = 4;
const LIMITS: &str = "[limits]\nconcurrency = 4\nqueue = 1\ncpu = \"5s\"\ntimeout = \"1s\"\n";

#[tokio::test]
async fn a_service_that_calls_itself_harms_itself_alone() {
    let host = Host::with("victim", guest("hello")).start().await;
    let gateway = host.gateway;
    let calls = format!(
        "{LIMITS}[env]\nSELF_URL = \"http://{gateway}/rogue\"\n[allow]\nhosts = [\"http://{gateway}\"]\n"
    );
    host.put("rogue.toml", calls);
    host.deploy("rogue", fault("calls_itself"));
    host.promoted("rogue", 1).await;

    let answer = host.provoke().await;
    host.assert_fault(&answer, 504, "wall_deadline").await;
    // A call whose caller is gone is over, and so on to the last.
    host.works_on("rogue", 0).await;
    let calls = host
        .log
        .all(|line| line.field("service") == "rogue" && !line.field("cause").is_empty());
    assert!(calls.len() > SLOTS, "{calls:#?}");
    for call in calls {
        let cause = call.field("cause");
        assert!(
            ["wall_deadline", "caller_gone"].contains(&&*cause),
            "{}",
            call.text()
        );
    }
    host.assert_recovers().await;
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_may_not_call_itself_does_not() {
    let host = beside_victim(
        "calls_itself",
        "[env]\nSELF_URL = \"http://127.0.0.1:1/rogue\"\n",
    )
    .start()
    .await;
    let answer = host.provoke().await;
    assert_eq!(answer.status(), 508, "the guest's own: {answer:?}");
    assert!(answer.text().contains("HttpRequestDenied"), "{answer:?}");
    host.stop().await;
}
