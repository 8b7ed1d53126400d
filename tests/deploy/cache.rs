//! Compiled components are kept from start to start, by digest; what is wrong in the cache is compiled again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::setup::Setup;
use crate::support::wait::{until, within};
use crate::support::{Host, guest};

fn two() -> Setup {
    Host::with("a", guest("hello"))
        .and("b", guest("hello-p3"))
        .cold()
}

fn images(setup: &Setup) -> Vec<PathBuf> {
    images_in(&setup.path().join("cache"))
}

fn images_in(cache: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(cache).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|found| found == "cwasm"))
        .collect()
}

#[tokio::test]
async fn a_start_with_a_warm_cache_compiles_nothing() {
    let host = two().start().await;
    for name in ["a", "b"] {
        assert_eq!(host.promoted(name, 1).await.field("cached"), "false");
    }
    let setup = host.stop().await;
    assert_eq!(images(&setup).len(), 2);
    let host = setup.start().await;
    for name in ["a", "b"] {
        assert_eq!(host.promoted(name, 1).await.field("cached"), "true");
        assert_eq!(host.get(&format!("/{name}")).await.status(), 200);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_corrupted_image_is_never_loaded() {
    let setup = two().start().await.stop().await;
    for image in images(&setup) {
        let mut bytes = fs::read(&image).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        // Images are read-only.
        fs::remove_file(&image).unwrap();
        fs::write(&image, bytes).unwrap();
        fs::set_permissions(&image, Permissions::from_mode(0o600)).unwrap();
    }
    let host = setup.start().await;
    for name in ["a", "b"] {
        assert_eq!(host.promoted(name, 1).await.field("cached"), "false");
        assert_eq!(host.get(&format!("/{name}")).await.status(), 200);
    }
    let warnings = host
        .log
        .all(|line| line.level() == "WARN" && line.message().contains("compiling it again"));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    host.stop().await;
}

#[tokio::test]
async fn a_cache_that_others_may_write_to_is_refused() {
    let setup = two();
    let cache = setup.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, Permissions::from_mode(0o770)).unwrap();
    let mut command: Command = setup.command();
    let output = within("skep to refuse", command.output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("\nerror: ") || error.starts_with("error: "),
        "{error}"
    );
    assert!(
        error.contains(&format!("chmod go-w {}", cache.display())),
        "{error}"
    );
    assert!(error.contains("--cache"), "{error}");
}

/// Makes what was compiled of an artifact look like another build's.
fn age(cache: &Path) {
    let files = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap());
    let mut indices = files.filter(|file| file.path().extension().is_some_and(|end| end == "json"));
    let index = indices.next().unwrap();
    let name = index.file_name().into_string().unwrap();
    let (artifact, _) = name.split_once('-').unwrap();
    let older = cache.join(format!("{artifact}-0123456789abcdef.json"));
    fs::rename(index.path(), older).unwrap();
}

#[tokio::test]
async fn images_go_with_their_artifacts() {
    let host = Host::empty().own_cache().start().await;
    let cache = host.state().join("cache");
    for (name, component) in [("a", "hello"), ("b", "echo")] {
        assert_eq!(host.send(name, guest(component), "").await.status(), 200);
    }
    assert_eq!(images_in(&cache).len(), 2);
    assert_eq!(host.delete("/v1/services/a").await.status(), 200);
    until("the image to go with its artifact", async || {
        (images_in(&cache).len() == 1).then_some(())
    })
    .await;
    assert_eq!(host.get("/b").await.status(), 200);
    let setup = host.stop().await;

    // What another build has compiled is never loaded again.
    let before = images_in(&cache);
    age(&cache);
    let host = setup.start().await;
    assert_eq!(host.get("/b").await.status(), 200);
    assert_eq!(images_in(&cache), before, "compiled again, to the same");
    assert_eq!(
        fs::read_dir(&cache).unwrap().count(),
        2,
        "an index and its image"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_cache_that_others_share_keeps_all() {
    let host = Host::empty().cold().start().await;
    assert_eq!(host.send("a", guest("hello"), "").await.status(), 200);
    assert_eq!(host.delete("/v1/services/a").await.status(), 200);
    until("the artifact to go", async || {
        host.artifacts().is_empty().then_some(())
    })
    .await;
    let setup = host.stop().await;
    age(&setup.path().join("cache"));
    let setup = setup.start().await.stop().await;
    let files = fs::read_dir(setup.path().join("cache")).unwrap();
    assert_eq!(files.count(), 2, "an index and its image");
}
