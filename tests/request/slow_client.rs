//! A client that is slow to send or to read holds nothing for ever.
//!
//! Each test waits for the connection's end; the limits are so small that it comes soon.

use std::time::{Duration, Instant};

use http::Request;

use crate::support::client::{Connection, get, streamed};
use crate::support::{Host, fault, guest, probe};

const HASTE: &str = "[timeouts]\nheader = \"300ms\"\nbody_idle = \"300ms\"\nidle = \"300ms\"\n";

/// A connection of either version: it must be used soon.
async fn fresh(host: &Host, two: bool) -> Connection {
    if two {
        host.connect_h2().await
    } else {
        host.connect().await
    }
}

#[tokio::test]
async fn a_head_must_arrive_in_time() {
    let host = Host::with("a", guest("hello"))
        .settings(HASTE)
        .start()
        .await;
    for begun in [
        "",
        "G",
        "GET /a HTTP/1.1\r\nHost: here\r\n",
        "PRI * HTTP/2.0\r\n",
    ] {
        let mut wire = host.wire().await;
        wire.send(begun).await;
        let answer = wire.rest().await;
        assert!(!answer.contains("200"), "{begun:?}: {answer}");
    }
    // Byte by byte is no better.
    let mut wire = host.wire().await;
    let mut sent = 0;
    for byte in "GET /a HTTP/1.1\r\nx: "
        .bytes()
        .chain(std::iter::repeat(b'y'))
    {
        if !wire.try_send([byte]).await {
            break;
        }
        sent += 1;
        assert!(
            sent < 100_000,
            "the host takes a head for as long as it likes to come"
        );
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn a_second_head_must_arrive_in_time_as_well() {
    let host = Host::with("a", guest("hello"))
        .settings(HASTE)
        .start()
        .await;
    let mut wire = host.wire().await;
    wire.send("GET /a HTTP/1.1\r\nHost: here\r\n\r\nGET /a HT")
        .await;
    let answers = wire.rest().await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    host.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let host = Host::with("a", guest("hello"))
        .settings(HASTE)
        .start()
        .await;
    for two in [false, true] {
        let mut connection = fresh(&host, two).await;
        assert_eq!(connection.get("/a").await.status(), 200);
        connection.ended().await;
    }
    host.connect_h2().await.ended().await;
    host.stop().await;
}

#[tokio::test]
async fn silence_between_requests_may_be_longer_than_a_head_takes() {
    const HEADER: Duration = Duration::from_secs(1);
    let host = Host::with("a", guest("hello"))
        .settings("[timeouts]\nheader = \"1s\"\nidle = \"60s\"\n")
        .start()
        .await;
    let mut connections = Vec::new();
    for two in [false, true] {
        let mut connection = fresh(&host, two).await;
        assert_eq!(connection.get("/a").await.status(), 200);
        connections.push(connection);
    }
    // What must not happen tells nobody.
    tokio::time::sleep(HEADER * 3 / 2).await;
    for mut connection in connections {
        assert_eq!(connection.get("/a").await.status(), 200);
    }
    host.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_also_where_a_head_may_take_longer() {
    const IDLE: Duration = Duration::from_millis(300);
    let host = Host::with("a", guest("hello"))
        .settings("[timeouts]\nheader = \"1h\"\nidle = \"300ms\"\n")
        .start()
        .await;
    for two in [false, true] {
        let mut connection = fresh(&host, two).await;
        let before = Instant::now();
        assert_eq!(connection.get("/a").await.status(), 200);
        connection.ended().await;
        assert!(before.elapsed() >= IDLE, "{:?}", before.elapsed());
    }
    host.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up() {
    let host = Host::with("a", probe("upload"))
        .settings(HASTE)
        .start()
        .await;
    for two in [false, true] {
        let mut connection = fresh(&host, two).await;
        let (mut upload, body) = streamed();
        let request = Request::post("/a").header("content-length", "100");
        let (answer, sent) = futures::join!(
            connection.send(request.body(body).unwrap()),
            upload.send("begins")
        );
        assert!(sent);
        assert_eq!(answer.status(), 408, "{answer:?}");
        assert_eq!(answer.problem().r#type, "urn:skep:fault:body_timeout");
        assert_eq!(host.logged(&answer).await.field("blame"), "caller");
        host.works_on("a", 0).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn an_answer_that_needs_the_rest_of_the_body_is_cut() {
    let host = Host::with("a", guest("echo")).settings(HASTE).start().await;
    for two in [false, true] {
        let mut connection = fresh(&host, two).await;
        let (mut upload, body) = streamed();
        let mut reply = connection
            .open(Request::post("/a").body(body).unwrap())
            .await
            .unwrap();
        assert!(upload.send("begins").await);
        assert_eq!(reply.chunk().await.unwrap(), "begins");
        let answer = reply.finish().await;
        assert!(answer.cut.is_some(), "{answer:?}");
        assert_eq!(host.logged(&answer).await.field("cause"), "body_timeout");
        host.works_on("a", 0).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() {
    let host = Host::with("a", fault("endless_body"))
        .manifest("a", "[limits]\ncpu = \"60s\"\n")
        .settings(HASTE)
        .start()
        .await;
    let mut wire = host.wire().await;
    wire.send("GET /a HTTP/1.1\r\nHost: here\r\n\r\n").await;
    wire.head().await;
    let line = host
        .log_line("the request given up", |line| {
            line.field("cause") == "caller_gone"
        })
        .await;
    assert_eq!(line.field("blame"), "caller", "{}", line.text());
    host.works_on("a", 0).await;
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_one_stream_is_let_go() {
    let host = Host::with("a", fault("endless_body"))
        .manifest("a", "[limits]\ncpu = \"60s\"\n")
        .settings(HASTE)
        .start()
        .await;
    let mut connection = host.connect_h2().await;
    let reply = connection.open(get("/a")).await.unwrap();
    assert_eq!(reply.head.status, 200);
    // Nobody reads the body, so its window stays shut, while the connection itself is well.
    host.works_on("a", 0).await;
    let answer = reply.finish().await;
    assert!(answer.cut.is_some(), "{answer:?}");
    assert_eq!(host.logged(&answer).await.field("blame"), "caller");
    host.stop().await;
}
