//! A file that is not all there is never loaded, however long it takes to come; what runs goes on running.

use std::fs::{self, OpenOptions};
use std::io::Write;

use crate::support::{Host, probe};

#[tokio::test]
async fn a_file_that_comes_in_two_parts_is_taken_when_it_is_whole() {
    let host = Host::with("a", probe("revision_a")).start().await;
    let bytes = fs::read(probe("revision_b")).unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let path = host.at("a.wasm");
    fs::write(&path, first).unwrap();
    // The host has looked, more than once, and still waits.
    host.looked("marker").await;
    assert_eq!(host.told("deployment begins", "a"), 1);
    assert_eq!(host.revision_at("/a").await, "a");
    // It has waited for long, and says so.
    host.refused_with("a", "is it still being copied?").await;
    assert_eq!(host.revision_at("/a").await, "a");
    assert_eq!(host.service("a").await.revision, Some(1));

    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(second).unwrap();
    drop(file);
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    host.healed("a").await;
    assert_eq!(host.told("deployment begins", "a"), 2);
    host.stop().await;
}

#[tokio::test]
async fn an_empty_file_is_waited_for_and_then_told_of() {
    let host = Host::empty().start().await;
    host.put("a.wasm", "");
    host.refused_with("a", "is empty").await;
    assert_eq!(host.service("a").await.state, "failed");
    host.deploy("a", probe("revision_a"));
    host.promoted("a", 1).await;
    host.healed("a").await;
    host.stop().await;
}
