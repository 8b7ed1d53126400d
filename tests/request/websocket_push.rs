//! Services send to their connections without being asked, and to no others.

use crate::support::setup::Setup;
use crate::support::wait::until;
use crate::support::websocket::{Raw, Socket, TEXT, frame};
use crate::support::{Host, guest, probe};

const ROUTE: &str = "[[route]]\npath = \"/NAME\"\nwebsocket = true\n";

/// The probe at `/a` and at `/b`, each a service of its own.
fn probed() -> Setup {
    Host::with("a", probe("websocket"))
        .and("b", probe("websocket"))
        .manifest("a", &ROUTE.replace("NAME", "a"))
        .manifest("b", &ROUTE.replace("NAME", "b"))
}

#[tokio::test]
async fn a_service_sends_to_any_of_its_connections_from_any_request() {
    let host = probed().start().await;
    let (mut one, mut other) = (
        Socket::open(&host, "/a").await,
        Socket::open(&host, "/a").await,
    );
    let id = other.id().await;
    assert_eq!(one.says(&format!("push {id} hello")).await, "202");
    assert_eq!(other.text().await, "hello");
    let pushed = host.get(&format!("/a?to={id}&text=again")).await;
    assert_eq!(pushed.text(), "202");
    assert_eq!(other.text().await, "again");
    assert_eq!(one.says(&format!("look {id}")).await, "204");
    // What it sends while it works on a message arrives before what it answers.
    other.send(format!("push {id} first")).await;
    assert_eq!(other.text().await, "first");
    assert_eq!(other.text().await, "202");
    host.stop().await;
}

#[tokio::test]
async fn what_is_sent_in_the_handshake_arrives_after_it() {
    let host = probed().start().await;
    let mut socket = Socket::open(&host, "/a?welcome=1").await;
    assert_eq!(socket.text().await, "welcome");
    assert_eq!(socket.says("hello").await, "hello");
    host.stop().await;
}

#[tokio::test]
async fn a_service_closes_a_connection_once_what_it_has_sent_is_out() {
    let host = probed().start().await;
    let mut one = Socket::open(&host, "/a").await;
    for (said, code) in [("1000", 1000), ("4321", 4321)] {
        let mut other = Socket::open(&host, "/a").await;
        let id = other.id().await;
        assert_eq!(one.says(&format!("push {id} goodbye")).await, "202");
        assert_eq!(one.says(&format!("close {id} {said}")).await, "202");
        assert_eq!(other.text().await, "goodbye");
        assert_eq!(other.closed().await, code);
        until("the connection to be gone", async || {
            let answer = host.get(&format!("/a?to={id}&text=late")).await;
            (answer.text() == "410").then_some(())
        })
        .await;
        let left = format!("disconnect {id} {code}");
        host.log_line(&left, |line| line.message() == left).await;
    }
    let id = one.id().await;
    assert_eq!(one.says(&format!("close {id} 1006")).await, "400");
    host.stop().await;
}

#[tokio::test]
async fn only_the_service_whose_connection_it_is_may() {
    let host = probed().start().await;
    let mut of_a = Socket::open(&host, "/a").await;
    let mut of_b = Socket::open(&host, "/b").await;
    let id = of_a.id().await;
    for order in [
        format!("push {id} x"),
        format!("look {id}"),
        format!("close {id} 1000"),
    ] {
        assert_eq!(of_b.says(&order).await, "403", "{order}");
    }
    let unknown = "0".repeat(32);
    assert_eq!(of_b.says(&format!("look {unknown}")).await, "410");
    assert_eq!(of_b.says("look nothing").await, "404");
    assert_eq!(of_a.says("still here").await, "still here");
    host.stop().await;
}

#[tokio::test]
async fn a_service_without_websockets_has_no_such_neighbour() {
    let host = Host::with("a", probe("websocket")).start().await;
    assert_eq!(host.get("/a?to=x").await.text(), "0");
    let denied = host.log_line("a denial", |line| {
        line.target() == "skep::egress" && line.message().contains("websocket = true")
    });
    denied.await;
    let named = host.path().join("services/websocket.wasm");
    std::fs::copy(probe("websocket"), named).unwrap();
    let refused = host.log_line("a refusal", |line| {
        line.text().contains("the host's own name")
    });
    refused.await;
    host.stop().await;
}

#[tokio::test]
async fn who_reads_too_slowly_fills_a_queue_and_not_the_host() {
    let host = probed().start().await;
    let mut raw = Raw::open(&host, "/a").await;
    raw.send(frame(TEXT, b"id")).await;
    let id = String::from_utf8(raw.frame().await.unwrap().1).unwrap();
    let mut other = Socket::open(&host, "/a").await;
    // Nobody reads from here on.
    let text = "x".repeat(60_000);
    let full = loop {
        let said = other.says(&format!("push {id} {text}")).await;
        if said != "202" {
            break said;
        }
    };
    assert_eq!(full, "503");
    // What was taken arrives, whole and in order.
    assert_eq!(raw.frame().await.unwrap().1.len(), text.len());
    while other.says(&format!("push {id} {text}")).await != "202" {
        raw.frame().await.unwrap();
    }
    host.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let host = probed().start().await;
    let mut socket = Socket::open(&host, "/a").await;
    assert_eq!(socket.says("flood 1 65537").await, "413");
    socket.send("flood 1 65536").await;
    assert_eq!(socket.text().await.len(), 65_536);
    assert_eq!(socket.text().await, "202");
    host.stop().await;
}

#[tokio::test]
async fn in_the_showcase_two_clients_talk() {
    let manifest = include_str!("../../examples/hello/chat.toml");
    let host = Host::with("chat", guest("chat")).manifest("chat", manifest);
    let host = host.start().await;
    let page = host.get("/chat").await;
    assert!(page.text().contains("new WebSocket("), "{page:?}");
    let (mut one, mut other) = (
        Socket::open(&host, "/chat").await,
        Socket::open(&host, "/chat").await,
    );
    let mut ids = Vec::new();
    for socket in [&mut one, &mut other] {
        let said = socket.text().await;
        ids.push(said.strip_prefix("you are ").unwrap().to_owned());
    }
    let said = one.says(&format!("{} good morning", ids[1])).await;
    assert_eq!(said, "sent");
    assert_eq!(other.text().await, format!("{}: good morning", ids[0]));
    assert_eq!(one.says("nobody hears").await, "nobody is there");
    assert_eq!(one.says("bye").await, "see you");
    assert_eq!(one.closed().await, 1000);
    let said = other.says(&format!("{} good night", ids[0])).await;
    assert_eq!(said, "nobody is there");
    host.stop().await;
}
