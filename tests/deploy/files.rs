//! Files come, are written over in every way there is, are renamed and go; a service follows each.

use std::fs;

use crate::support::{Host, guest, probe};

#[tokio::test]
async fn a_file_that_is_written_in_place_is_the_next_revision() {
    let host = Host::with("a", probe("revision_a")).start().await;
    fs::copy(probe("revision_b"), host.at("a.wasm")).unwrap();
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    host.stop().await;
}

#[tokio::test]
async fn a_file_that_is_renamed_over_is_the_next_revision() {
    let host = Host::with("a", probe("revision_a")).start().await;
    // Also from beside it, under a name that is no service's.
    let beside = host.at("a.wasm.new");
    fs::copy(probe("revision_b"), &beside).unwrap();
    fs::rename(&beside, host.at("a.wasm")).unwrap();
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    assert_eq!(host.path().join("services").read_dir().unwrap().count(), 1);
    assert_eq!(host.names().await, ["a"]);
    host.stop().await;
}

#[tokio::test]
async fn a_service_is_renamed_with_its_file() {
    let host = Host::with("a", probe("revision_a")).start().await;
    let at = |name: &str| host.at(name);
    fs::rename(at("a.wasm"), at("b.wasm")).unwrap();
    host.promoted("b", 1).await;
    host.gone("/a").await;
    assert_eq!(host.revision_at("/b").await, "a");
    assert_eq!(host.names().await, ["b"]);
    host.stop().await;
}

#[tokio::test]
async fn a_file_that_comes_back_is_served_again() {
    let host = Host::with("a", probe("revision_a")).start().await;
    host.remove("a.wasm");
    host.gone("/a").await;
    let problem = host.get("/a").await.problem();
    assert_eq!(problem.status, 404);
    host.deploy("a", probe("revision_b"));
    // Numbers go on where they were, so that none means two things in one log.
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    host.stop().await;
}

#[tokio::test]
async fn the_same_bytes_again_change_nothing() {
    let host = Host::with("a", probe("revision_a")).start().await;
    host.deploy("a", probe("revision_a"));
    fs::copy(probe("revision_a"), host.at("a.wasm")).unwrap();
    host.looked("marker").await;
    assert_eq!(host.told("deployment begins", "a"), 1);
    assert_eq!(host.service("a").await.revision, Some(1));
    host.stop().await;
}

#[tokio::test]
async fn many_files_at_once_are_all_served() {
    let host = Host::empty().start().await;
    for number in 0..20 {
        host.deploy(&format!("s{number}"), guest("hello"));
    }
    for number in 0..20 {
        host.promoted(&format!("s{number}"), 1).await;
        assert_eq!(host.get(&format!("/s{number}")).await.status(), 200);
    }
    host.stop().await;
}
