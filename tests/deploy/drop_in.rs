//! A file that is dropped in is served; overwritten, it is the next revision; removed, it is gone.

use crate::support::wait::until;
use crate::support::{Host, probe};

#[tokio::test]
async fn a_file_comes_changes_and_goes_while_the_host_runs() {
    let host = Host::empty().start().await;
    assert_eq!(host.get("/a").await.status(), 404);

    host.deploy("a", probe("revision_a"));
    host.promoted("a", 1).await;
    assert_eq!(host.service("a").await.state, "ready");
    let first = host.get("/a").await;
    assert!(first.text().contains('a'), "{first:?}");

    host.deploy("a", probe("revision_b"));
    host.promoted("a", 2).await;
    let second = host.get("/a").await;
    assert_ne!(second.text(), first.text());

    host.remove("a.wasm");
    until("the service to be gone", async || {
        (host.get("/a").await.status() == 404).then_some(())
    })
    .await;
    assert!(host.services().await.is_empty());
    host.stop().await;
}
