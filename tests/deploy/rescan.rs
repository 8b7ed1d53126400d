//! SIGHUP: everything is looked at again, and what failed for a reason that has passed has another try.

use rustix::process::Signal;

use crate::support::deploying::{heavy, send};
use crate::support::wait::until;
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn a_compiler_that_was_killed_is_told_of_and_sighup_tries_again() {
    let host = Host::with("a", probe("revision_a")).cold().start().await;
    host.put("a.wasm", heavy(probe("revision_b"), 21));
    send(host.compiler().await, Signal::KILL);
    host.refused_with("a", "the compiler was killed").await;
    assert_eq!(host.revision_at("/a").await, "a");
    host.looked("marker").await;
    assert_eq!(host.told("deployment begins", "a"), 2);

    host.signal(Signal::HUP);
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    host.healed("a").await;
    host.stop().await;
}

#[tokio::test]
async fn sighup_leaves_what_runs_as_it_is() {
    let host = Host::with("a", probe("revision_a"))
        .and("b", guest("hello"))
        .component("bad", b"rubbish")
        .start()
        .await;
    host.signal(Signal::HUP);
    host.log_line("that SIGHUP was heard", |line| {
        line.field("signal") == "SIGHUP"
    })
    .await;
    host.looked("marker").await;
    for name in ["a", "b"] {
        assert_eq!(host.told("deployment begins", name), 1);
        assert_eq!(host.service(name).await.revision, Some(1));
    }
    // It has another try, which takes a while.
    until("the broken one to be refused again", async || {
        (host.service("bad").await.state == "failed").then_some(())
    })
    .await;
    host.stop().await;
}
