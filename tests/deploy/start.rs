//! The host listens at once; services follow as they are compiled, and `/readyz` tells when all that was there has been
//! dealt with.

use std::fs;

use rustix::process::Signal;

use crate::support::deploying::{heavy, send};
use crate::support::wait::until;
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn what_is_still_compiled_is_503_and_the_rest_serves() {
    let host = Host::empty()
        .component("slow", &heavy(guest("hello"), 11))
        .cold()
        .settings("[compile]\nparallel = 2\n")
        .launch()
        .await;
    let stopped = host.compiler().await;
    send(stopped, Signal::STOP);
    host.deploy("quick", guest("hello"));
    host.promoted("quick", 1).await;
    let answer = host.get("/slow").await;
    assert_eq!(answer.status(), 503, "{answer:?}");
    assert_eq!(answer.problem().service.as_deref(), Some("slow"));
    assert!(
        answer
            .header("retry-after")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            >= 1
    );
    assert_eq!(host.service("slow").await.state, "compiling");
    assert_eq!(host.get("/quick").await.status(), 200);
    assert_eq!(host.admin("/readyz").await.status(), 503);
    assert_eq!(host.admin("/healthz").await.status(), 200);

    send(stopped, Signal::CONT);
    host.promoted("slow", 1).await;
    assert_eq!(host.get("/slow").await.status(), 200);
    until("/readyz to be 200", async || {
        (host.admin("/readyz").await.status() == 200).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn an_empty_folder_is_ready() {
    let host = Host::empty().start().await;
    assert_eq!(host.get("/").await.status(), 404);
    assert!(host.names().await.is_empty());
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_fails_does_not_keep_the_host_from_being_ready() {
    let host = Host::empty()
        .component("bad", b"rubbish")
        .and("good", guest("hello"))
        .start()
        .await;
    assert_eq!(host.service("bad").await.state, "failed");
    assert_eq!(host.get("/good").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_waited_for_when_it_goes_and_comes_back() {
    let host = Host::with("a", probe("revision_a")).start().await;
    let away = host.path().join("away");
    fs::rename(host.path().join("services"), &away).unwrap();
    host.log_line("that the folder is gone", |line| {
        line.message() == "can't look for services"
    })
    .await;
    // A place that can't be read is no reason to stop what runs.
    assert_eq!(host.revision_at("/a").await, "a");
    fs::copy(probe("revision_b"), away.join("a.wasm")).unwrap();
    fs::rename(&away, host.path().join("services")).unwrap();
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    // It is watched again.
    host.deploy("b", guest("hello"));
    host.promoted("b", 1).await;
    host.stop().await;
}
