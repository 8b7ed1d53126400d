//! How WebSockets to a server elsewhere end: what one side learns of the other's end, and what the host allows.

use tokio_tungstenite::tungstenite::Message;

use crate::support::Host;
use crate::support::wait::until;
use crate::support::websocket::{Socket, until_there_are};
use crate::support::websocket_server::{Server, ServerSocket, before};

/// A connection with the server behind a host that allows this of it.
async fn connected(settings: &str) -> (Host, Server, Socket, ServerSocket) {
    let mut server = Server::start().await;
    let host = before(&server, settings).await;
    let client = Socket::open(&host, "/a/x").await;
    let socket = server.next().await;
    (host, server, client, socket)
}

async fn another(host: &Host, server: &mut Server) -> (Socket, ServerSocket) {
    let client = Socket::open(host, "/a/x").await;
    (client, server.next().await)
}

#[tokio::test]
async fn who_closes_says_why_and_the_other_side_learns_it() {
    let (host, mut server, client, socket) = connected("").await;
    let (closed, ()) = tokio::join!(socket.closed(), client.close(4001));
    assert_eq!(closed, 4001);
    let (client, mut socket) = another(&host, &mut server).await;
    // What is said before is heard before.
    socket.send("the last").await;
    let closing = async {
        let mut client = client;
        assert_eq!(client.text().await, "the last");
        client.closed().await
    };
    let (closed, ()) = tokio::join!(closing, socket.close(4002));
    assert_eq!(closed, 4002);
    let (client, mut socket) = another(&host, &mut server).await;
    socket.send(Message::Close(None)).await;
    assert_eq!(client.closed_perhaps_with().await, None);
    assert_eq!(socket.closed_perhaps_with().await, None);
    let (mut client, socket) = another(&host, &mut server).await;
    client.send(Message::Close(None)).await;
    assert_eq!(socket.closed_perhaps_with().await, None);
    host.stop().await;
}

#[tokio::test]
async fn who_breaks_off_is_told_of() {
    let (host, mut server, client, socket) = connected("").await;
    client.break_off().await;
    assert_eq!(socket.closed().await, 1001);
    let (client, socket) = another(&host, &mut server).await;
    socket.break_off().await;
    assert_eq!(client.closed().await, 1011);
    until_there_are(&host, 0.0).await;
    host.stop().await;
}

#[tokio::test]
async fn messages_are_no_larger_than_allowed_either_way() {
    let settings = "message = \"1KiB\"";
    let (host, mut server, mut client, socket) = connected(settings).await;
    client.send("x".repeat(1025)).await;
    assert_eq!(client.closed().await, 1009);
    assert_eq!(socket.closed().await, 1009);
    let (mut client, mut socket) = another(&host, &mut server).await;
    socket.send("x".repeat(1024)).await;
    assert_eq!(client.text().await.len(), 1024);
    socket.send("x".repeat(1025)).await;
    assert_eq!(client.closed().await, 1011);
    assert_eq!(socket.closed().await, 1009);
    host.stop().await;
}

#[tokio::test]
async fn there_are_no_more_than_allowed_and_none_that_nobody_uses() {
    let settings = "connections = 1\nidle = \"1s\"";
    let (host, mut server, client, socket) = connected(settings).await;
    let refused = Socket::with(&host, "/a/x", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 503);
    assert_eq!(client.closed().await, 1001);
    assert_eq!(socket.closed().await, 1001);
    let (client, _socket) = until("there to be room", async || {
        let client = Socket::with(&host, "/a/x", &[]).await.ok()?;
        Some((client, server.next().await))
    })
    .await;
    drop(client);
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_stops_says_so_to_both() {
    let (host, _server, client, socket) = connected("").await;
    let stopped = tokio::spawn(host.stop());
    assert_eq!(client.closed().await, 1001);
    assert_eq!(socket.closed().await, 1001);
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_server_that_reads_nothing_does_not_hold_a_connection_for_ever() {
    let mut server = Server::start().await;
    let host = server
        .setup("message = \"1MiB\"")
        .settings("[timeouts]\nbody_idle = \"1s\"\n")
        .start()
        .await;
    let client = Socket::open(&host, "/a/x").await;
    let _socket = server.next().await;
    let (mut say, hear) = client.halves();
    let flood = tokio::spawn(async move {
        use futures::SinkExt;
        while say.send(Message::binary(vec![0; 1 << 20])).await.is_ok() {}
    });
    let mut client = hear;
    let closed = until("the connection to be closed", async || {
        use futures::StreamExt;
        client.next().await
    })
    .await;
    let Ok(Message::Close(Some(frame))) = closed else {
        panic!("{closed:?}");
    };
    assert_eq!(u16::from(frame.code), 1011);
    flood.abort();
    host.stop().await;
}
