//! What a component may cost to compile is bounded, and whoever waits for it is not held up by it.

use crate::support::deploying::{heaviest, heavy};
use crate::support::setup::Setup;
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn a_component_that_takes_too_long_to_compile_is_refused() {
    let host = victim()
        .settings("[compile]\ntimeout = \"1s\"\n")
        .start()
        .await;
    host.put("a.wasm", heaviest(probe("revision_a"), 31));
    let refused = host.refused_with("a", "compile.timeout, which is 1s");
    host.while_victim_serves(refused).await;
    assert_eq!(host.service("a").await.state, "failed");
    assert!(!host.compiles(), "the compiler is gone");
    host.stop().await;
}

#[tokio::test]
async fn a_component_that_takes_too_much_memory_to_compile_is_refused() {
    let host = victim()
        .settings("[compile]\nmemory = \"256MiB\"\n")
        .start()
        .await;
    host.put("a.wasm", heaviest(probe("revision_a"), 32));
    let refused = host.refused_with("a", "compile.memory, which is 256MiB");
    host.while_victim_serves(refused).await;
    assert_eq!(host.service("a").await.state, "failed");
    host.stop().await;
}

#[tokio::test]
async fn a_newer_file_takes_the_place_of_one_that_is_being_compiled() {
    let host = Host::with("a", guest("hello")).cold().start().await;
    host.put("a.wasm", heavy(probe("revision_a"), 33));
    host.compiler().await;
    host.deploy("a", probe("revision_b"));
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    assert!(
        !host.compiles(),
        "what is not wanted any more is not compiled"
    );
    host.stop().await;
}

/// A healthy service whose component is compiled already.
fn victim() -> Setup {
    Host::with("victim", guest("hello"))
}
