//! Symbolic links: to files, flipped, and flipped directories, as a Kubernetes ConfigMap's volume does it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Host, probe};

/// Puts a link in the place of what is there, in one step.
fn flip(target: &Path, link: &Path) {
    let new = link.with_file_name("..new-link");
    symlink(target, &new).unwrap();
    fs::rename(&new, link).unwrap();
}

#[tokio::test]
async fn a_link_to_a_component_is_served_and_followed_when_it_flips() {
    let host = Host::empty().start().await;
    let link = host.at("a.wasm");
    flip(&probe("revision_a"), &link);
    host.promoted("a", 1).await;
    assert_eq!(host.revision_at("/a").await, "a");
    flip(&probe("revision_b"), &link);
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    fs::remove_file(&link).unwrap();
    host.gone("/a").await;
    host.stop().await;
}

#[tokio::test]
async fn a_component_behind_a_link_may_change_where_it_lies() {
    let host = Host::empty().start().await;
    let lies = host.path().join("incoming/elsewhere.wasm");
    fs::copy(probe("revision_a"), &lies).unwrap();
    symlink(&lies, host.at("a.wasm")).unwrap();
    host.promoted("a", 1).await;
    fs::copy(probe("revision_b"), &lies).unwrap();
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    host.stop().await;
}

/// The volume: `a.wasm → ..data/a.wasm`, `..data → ..2024_1`; an update flips `..data` and removes `..2024_1`.
#[tokio::test]
async fn a_config_map_is_followed_when_its_data_flips() {
    let setup = Host::empty();
    let at = |name: &str| setup.at(name);
    let version = |number: u32, revision: &str| {
        let folder = at(&format!("..2024_{number}"));
        fs::create_dir(&folder).unwrap();
        fs::copy(probe(revision), folder.join("a.wasm")).unwrap();
        let manifest = format!("[[route]]\npath = \"/v{number}\"\n");
        fs::write(folder.join("a.toml"), manifest).unwrap();
        flip(Path::new(&format!("..2024_{number}")), &at("..data"));
    };
    version(1, "revision_a");
    for file in ["a.wasm", "a.toml"] {
        symlink(format!("..data/{file}"), at(file)).unwrap();
    }
    let host = setup.start().await;
    let at = |name: &str| host.at(name);
    assert_eq!(host.revision_at("/v1").await, "a");
    let folder = at("..2024_2");
    fs::create_dir(&folder).unwrap();
    fs::copy(probe("revision_b"), folder.join("a.wasm")).unwrap();
    fs::write(folder.join("a.toml"), "[[route]]\npath = \"/v2\"\n").unwrap();
    flip(Path::new("..2024_2"), &at("..data"));
    fs::remove_dir_all(at("..2024_1")).unwrap();
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/v2").await, "b");
    assert_eq!(host.get("/v1").await.status(), 404);
    assert_eq!(host.service("a").await.error, None);
    host.stop().await;
}
