//! A service whose checks fail gets no requests until they are good again.

use crate::support::wait::until;
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn an_unhealthy_service_fails_fast_and_comes_back() {
    // It is well when what it calls is there.
    let manifest = "[allow]\nservices = [\"other\"]\n\
         [health]\npath = \"/?url=http://other.internal/\"\ninterval = \"20ms\"\nrequired = true\n";
    let host = Host::with("a", probe("fetch"))
        .manifest("a", manifest)
        .start()
        .await;
    let refused = until("the service to be unhealthy", async || {
        let answer = host.get("/a").await;
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert_eq!(refused.problem().r#type, "urn:skep:fault:unhealthy");
    assert_eq!(host.service("a").await.state, "unhealthy");
    assert_eq!(host.admin("/readyz").await.status(), 503);
    let said = host
        .log
        .find(|line| line.says("the service is unhealthy and gets no requests", "a"))
        .await
        .unwrap();
    assert!(said.field("why").contains("503"), "{}", said.text());

    host.deploy("other", guest("hello"));
    until("the service to be healthy", async || {
        (host.get("/a").await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(host.admin("/readyz").await.status(), 200);
    // Nobody asked for the checks: they are neither counted nor logged.
    let checks = host.log.all(|line| {
        line.target() == "skep::request"
            && line.field("service") == "a"
            && line.field("path").contains("url")
    });
    assert!(checks.is_empty(), "{checks:#?}");
    host.stop().await;
}
