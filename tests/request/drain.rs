//! A signal stops the host in order: nothing new, what runs is finished, a second signal ends it at once.

use http::Request;
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::support::client::streamed;
use crate::support::wait::until;
use crate::support::{Host, guest};

/// Waits until nobody can connect any more.
async fn closed(host: &Host) {
    until("connections to be refused", async || {
        TcpStream::connect(host.gateway)
            .await
            .is_err()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_runs_is_finished_and_nothing_new_is_taken() {
    for signal in [Signal::TERM, Signal::INT] {
        let host = Host::with("a", guest("echo")).start().await;
        let (mut idle, mut idle_h2) = (host.connect().await, host.connect_h2().await);
        for connection in [&mut idle, &mut idle_h2] {
            assert_eq!(connection.get("/a").await.status(), 200);
        }
        let mut running = Vec::new();
        for mut connection in host.both().await {
            let (mut upload, body) = streamed();
            let mut reply = connection
                .open(Request::post("/a").body(body).unwrap())
                .await
                .unwrap();
            assert!(upload.send("before").await);
            assert_eq!(reply.chunk().await.unwrap(), "before");
            running.push((connection, upload, reply));
        }

        host.signal(signal);
        closed(&host).await;
        idle.ended().await;
        idle_h2.ended().await;
        let ready = host.admin("/readyz").await;
        assert_eq!(ready.status(), 503, "{ready:?}");
        assert_eq!(host.admin("/healthz").await.status(), 200);

        for (connection, mut upload, mut reply) in running {
            assert!(upload.send("after").await);
            assert_eq!(reply.chunk().await.unwrap(), "after");
            drop(upload);
            assert_eq!(reply.chunk().await, None);
            connection.ended().await;
        }
        host.ended().await;
    }
}

#[tokio::test]
async fn an_answer_that_begins_while_the_host_drains_says_that_the_connection_closes() {
    let host = Host::with("a", crate::support::probe("upload"))
        .start()
        .await;
    let mut wire = host.wire().await;
    wire.send("POST /a HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhe")
        .await;
    host.works_on("a", 1).await;
    host.signal(Signal::TERM);
    closed(&host).await;
    wire.send("llo").await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    host.ended().await;
}

#[tokio::test]
async fn what_is_late_is_cut() {
    let host = Host::with("a", guest("echo"))
        .settings("[timeouts]\ndrain = \"300ms\"\n")
        .start()
        .await;
    let (_upload, body) = streamed();
    let reply = host.open(Request::post("/a").body(body).unwrap()).await;
    host.signal(Signal::TERM);
    let answer = reply.finish().await;
    assert!(answer.cut.is_some(), "{answer:?}");
    host.ended().await;
}

#[tokio::test]
async fn a_second_signal_ends_the_host_at_once() {
    let host = Host::with("a", guest("echo"))
        .settings("[timeouts]\ndrain = \"600s\"\n")
        .start()
        .await;
    let (_upload, body) = streamed();
    let reply = host.open(Request::post("/a").body(body).unwrap()).await;
    host.signal(Signal::TERM);
    closed(&host).await;
    host.signal(Signal::TERM);
    let status = host.exit().await;
    // As a shell reports it.
    assert_eq!(status.code(), Some(128 + 15), "{status}");
    assert!(reply.finish().await.cut.is_some());
}
