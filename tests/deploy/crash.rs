//! kill -9 at any point leaves a state that starts.

use std::fs;
use std::pin::pin;

use futures::future::select;

use crate::support::deploying::heavy;
use crate::support::log::Line;
use crate::support::wait::until;
use crate::support::{Host, probe};

const KILLS: u32 = 6;

#[tokio::test]
async fn a_host_that_is_killed_while_it_compiles_starts_again() {
    // Compiling has the lowest priority: beside other tests' guests it hardly gets on.
    let mut setup = Host::with("a", probe("revision_a"))
        .settings("[compile]\ntimeout = \"10m\"\n")
        .cold()
        .alone();
    for kill in 0..KILLS {
        // One that no cache knows.
        setup.put("slow.wasm", heavy(probe("revision_b"), 1000 + kill));
        let host = setup.launch().await;
        match kill % 3 {
            // At once; in the middle of compiling, or when it is over before this test gets to see it; when part of it
            // is done.
            0 => {}
            1 => drop(select(pin!(host.compiler()), pin!(host.promoted("slow", 1))).await),
            _ => drop(host.promoted("a", 1).await),
        }
        setup = host.kill().await;
    }
    let host = setup.start().await;
    assert_eq!(host.revision_at("/a").await, "a");
    assert_eq!(host.revision_at("/slow").await, "b");
    for name in ["a", "slow"] {
        assert_eq!(host.service(name).await.error, None);
    }
    let setup = host.kill().await;

    // Nothing was lost by the last kill either: what was served is served, from the cache.
    let host = setup.start().await;
    for name in ["a", "slow"] {
        // Whether one of those before was served, and so counts as a revision, is a matter of luck.
        let is_promoted = |line: &Line| line.says("revision promoted", name);
        let line = host.log_line("a revision promoted", is_promoted).await;
        assert_eq!(line.field("cached"), "true", "{name}");
    }
    let setup = host.stop().await;
    let files = fs::read_dir(setup.path().join("cache")).unwrap().count();
    // An image and its index for each component there was, and at most one image in the making for each kill.
    let most = 2 * (1 + KILLS) + KILLS;
    assert!(files <= most as usize, "{files} files in the cache");
}

#[tokio::test]
async fn compile_children_end_with_a_host_that_is_killed() {
    let host = Host::empty()
        .component("slow", &heavy(probe("revision_b"), 42))
        .cold()
        .launch()
        .await;
    let child = host.compiler().await;
    let setup = host.kill().await;
    until("the compile child to end", async || {
        (!fs::exists(format!("/proc/{}", child.as_raw_nonzero())).unwrap()).then_some(())
    })
    .await;
    // One that had gone on to its end would have left its image.
    let left = fs::read_dir(setup.path().join("cache")).unwrap().count();
    assert_eq!(left, 0, "files in the cache");
}
