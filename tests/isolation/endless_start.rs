//! A component that never finishes to start is refused when it is deployed; what ran before goes on.

use crate::support::rogue::beside_victim;
use crate::support::{Host, fault, guest};

const LIMITS: &str = "[limits]\ncpu = \"100ms\"\ntimeout = \"50s\"\n";

#[tokio::test]
async fn an_endless_start_is_refused_at_deployment() {
    let host = beside_victim("endless_start", LIMITS).start().await;
    let refused = host.refused("rogue").await;
    assert!(
        refused
            .field("error")
            .contains("no instance could be started"),
        "{}",
        refused.text()
    );

    let rogue = host.service("rogue").await;
    assert_eq!((rogue.state.as_str(), rogue.revision), ("failed", None));
    assert!(
        rogue
            .error
            .is_some_and(|error| error.contains("cpu_deadline"))
    );

    let answer = host.provoke().await;
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert_eq!(answer.problem().r#type, "urn:skep:fault:not_ready");
    host.stop().await;
}

#[tokio::test]
async fn an_endless_start_leaves_the_running_revision_where_it_is() {
    let host = Host::with("rogue", guest("hello"))
        .manifest("rogue", LIMITS)
        .start()
        .await;
    let digest = host.service("rogue").await.digest;
    host.deploy("rogue", fault("endless_start"));
    host.refused("rogue").await;

    let rogue = host.service("rogue").await;
    assert_eq!((rogue.state.as_str(), rogue.revision), ("ready", Some(1)));
    assert_eq!(rogue.digest, digest);
    assert!(
        rogue
            .error
            .is_some_and(|error| error.contains("cpu_deadline"))
    );
    assert_eq!(host.get("/rogue").await.status(), 200);
    host.stop().await;
}
