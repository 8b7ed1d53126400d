//! A manifest decides how its component is served, and is a revision's half: edited alone, it makes a new one.

use std::fs;

use http::Request;

use crate::support::client::full;
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn a_manifest_that_is_edited_alone_makes_a_new_revision() {
    let host = Host::with("a", probe("revision"))
        .manifest("a", "[env]\nREVISION = \"one\"\n")
        .start()
        .await;
    assert_eq!(host.revision_at("/a").await, "one");
    let digest = host.service("a").await.digest;
    host.put("a.toml", "[env]\nREVISION = \"two\"\n");
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "two");
    let service = host.service("a").await;
    assert_eq!((service.revision, service.digest), (Some(2), digest));
    // Without a manifest it is served by the defaults.
    host.remove("a.toml");
    host.promoted("a", 3).await;
    assert_eq!(host.revision_at("/a").await, "");
    host.stop().await;
}

#[tokio::test]
async fn new_limits_are_in_force_from_the_new_revision_on() {
    let host = Host::with("a", guest("echo")).start().await;
    let post = || Request::post("/a").body(full("ten bytes.")).unwrap();
    assert_eq!(host.request(post()).await.text(), "ten bytes.");
    host.put("a.toml", "[limits]\nbody = \"9B\"\n");
    host.promoted("a", 2).await;
    assert_eq!(host.request(post()).await.status(), 413);
    host.put("a.toml", "[limits]\nbody = \"10B\"\n");
    host.promoted("a", 3).await;
    assert_eq!(host.request(post()).await.text(), "ten bytes.");
    host.stop().await;
}

#[tokio::test]
async fn a_comment_in_a_manifest_changes_nothing() {
    let host = Host::with("a", probe("revision_a"))
        .manifest("a", "[limits]\nqueue = 3\n")
        .start()
        .await;
    host.put("a.toml", "# Three.\n[limits]\nqueue = 3\n");
    host.looked("marker").await;
    assert_eq!(host.told("deployment begins", "a"), 1);
    host.stop().await;
}

#[tokio::test]
async fn a_folder_with_a_manifest_is_a_service() {
    let host = Host::empty().start().await;
    let folder = host.at("shop");
    fs::create_dir(&folder).unwrap();
    fs::copy(probe("revision_a"), folder.join("built.wasm")).unwrap();
    fs::write(folder.join("service.toml"), "component = \"built.wasm\"\n").unwrap();
    host.promoted("shop", 1).await;
    assert_eq!(host.revision_at("/shop").await, "a");
    fs::copy(probe("revision_b"), folder.join("built.wasm")).unwrap();
    host.promoted("shop", 2).await;
    assert_eq!(host.revision_at("/shop").await, "b");
    fs::remove_dir_all(&folder).unwrap();
    host.gone("/shop").await;
    host.stop().await;
}

#[tokio::test]
async fn a_mistake_in_a_manifest_is_told_with_its_place_and_leaves_what_runs() {
    let host = Host::with("a", probe("revision_a"))
        .and("b", guest("hello"))
        .start()
        .await;
    host.put("a.toml", "[limits]\nmemroy = \"1MiB\"\n");
    let line = host.refused_with("a", "did you mean \"memory\"?").await;
    let place = format!("{}:2", host.at("a.toml").display());
    assert!(line.field("error").contains(&place), "{}", line.text());
    let service = host.service("a").await;
    assert_eq!((&*service.state, service.revision), ("ready", Some(1)));
    assert_eq!(host.revision_at("/a").await, "a");
    assert_eq!(host.get("/b").await.status(), 200);
    // Mended back to what runs: nothing is deployed, the error is gone.
    host.put("a.toml", "");
    host.healed("a").await;
    assert_eq!(host.service("a").await.revision, Some(1));
    host.stop().await;
}
