//! WebSockets: services learn of them by requests, and connections outlive what answers these.

use std::sync::Arc;

use http::Request;
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{empty, get};
use crate::support::log::Line;
use crate::support::setup::Setup;
use crate::support::tls::Authority;
use crate::support::websocket::{Raw, Socket, TEXT, frame, handshake, until_there_are};
use crate::support::{Host, guest, probe};

/// The probe at `/a` and below.
fn probed(settings: &str) -> Setup {
    let routes = "[[route]]\npath = \"/a/{*rest}\"\nstrip_prefix = true\nwebsocket = true\n";
    Host::with("a", probe("websocket")).manifest("a", &format!("{settings}\n{routes}"))
}

/// What the service prints, as soon as it has.
async fn printed(host: &Host, begins: &str) -> Arc<Line> {
    let what = format!("a service to print {begins:?}");
    host.log_line(&what, |line| line.message().starts_with(begins))
        .await
}

#[tokio::test]
async fn a_service_is_told_of_each_message_and_what_it_answers_goes_back() {
    let host = probed("").start().await;
    let mut socket = Socket::open(&host, "/a/room?x=1").await;
    assert_eq!(socket.head.status(), 101);
    assert_eq!(socket.head.headers().get("content-type"), None);
    assert!(socket.head.headers().contains_key("x-request-id"));
    let id = socket.id().await;
    assert_eq!(id.len(), 32, "{id}");
    assert_eq!(socket.says("hello").await, "hello");
    assert_eq!(socket.says("target").await, "/room?x=1");
    assert_eq!(
        socket.says("header content-type").await,
        "text/plain; charset=utf-8"
    );
    socket.send(vec![0, 0xff]).await;
    let back = socket.next().await;
    assert_eq!(back, Message::binary(vec![0, 0xff]));
    socket.send("silent").await;
    assert_eq!(socket.says("after").await, "after");
    printed(&host, &format!("connect {id} /room?x=1")).await;
    socket.close(4001).await;
    printed(&host, &format!("disconnect {id} 4001")).await;
    let said = |begins: &'static str| host.log.all(|line| line.message().starts_with(begins));
    assert_eq!(said("disconnect ").len(), 1);
    let counts = [
        ("connections", ""),
        ("messages_total", "in"),
        ("messages_total", "out"),
    ];
    let mut found = Vec::new();
    for (name, direction) in counts {
        let name = format!("skep_websocket_{name}");
        let labels = [("service", "a"), ("direction", direction)];
        let labels = &labels[..if direction.is_empty() { 1 } else { 2 }];
        found.push(host.metric(&name, labels).await.unwrap());
    }
    assert_eq!(found, [0.0, 7.0, 6.0]);
    host.stop().await;
}

#[tokio::test]
async fn messages_are_worked_on_one_after_another_and_answered_in_order() {
    let host = probed("").start().await;
    let mut socket = Socket::open(&host, "/a/x").await;
    let said = ["wait 50", "one", "wait 20", "two", "three"];
    for text in said {
        socket.send(text).await;
    }
    for text in ["waited", "one", "waited", "two", "three"] {
        assert_eq!(socket.text().await, text);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_service_refuses_a_connection_with_any_answer() {
    let host = probed("").start().await;
    for status in [404, 401, 302, 500] {
        let path = format!("/a/x?status={status}");
        let refused = Socket::with(&host, &path, &[]).await.unwrap_err();
        assert_eq!(refused.status(), status);
        assert_eq!(refused.headers().get("sec-websocket-accept"), None);
    }
    let gone = |line: &Line| line.message().starts_with("disconnect");
    assert!(host.log.all(gone).is_empty(), "nobody was connected");
    // What was refused takes no place.
    let labels = [("service", "a")];
    let open = host.metric("skep_websocket_connections", &labels).await;
    assert_eq!(open, Some(0.0));
    host.stop().await;
}

#[tokio::test]
async fn a_service_chooses_one_of_the_subprotocols_that_the_client_offers() {
    let host = probed("").start().await;
    let offers = [("sec-websocket-protocol", "v1.chat, v2.chat")];
    let path = "/a/x?protocol=v2.chat";
    let mut socket = Socket::with(&host, path, &offers).await.unwrap();
    let headers = socket.head.headers();
    assert_eq!(headers["sec-websocket-protocol"], "v2.chat");
    assert_eq!(headers["x-of-service"], "1", "other headers pass");
    let told = socket.says("header sec-websocket-protocol").await;
    assert_eq!(told, "v2.chat", "every message says what was agreed on");
    // It is not there, and an empty answer sends nothing.
    socket.send("header sec-websocket-key").await;
    assert_eq!(socket.says("after").await, "after");
    for (path, offers) in [("/a/x?protocol=v3.chat", &offers[..]), (path, &[])] {
        let refused = Socket::with(&host, path, offers).await.unwrap_err();
        assert_eq!(refused.status(), 502, "{path}");
    }
    host.stop().await;
}

#[tokio::test]
async fn what_the_handshake_says_of_the_client_is_said_with_every_message() {
    let host = probed("").start().await;
    let headers = [
        ("cookie", "session=1"),
        ("x-own", "mine"),
        ("accept-encoding", "gzip"),
        ("range", "bytes=0-1"),
        ("if-none-match", "*"),
        ("x-skep-websocket", "disconnect"),
        ("x-skep-connection", "made up"),
    ];
    let mut socket = Socket::with(&host, "/a/x", &headers).await.unwrap();
    for (name, value) in [
        ("cookie", "session=1"),
        ("x-own", "mine"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(socket.says(&format!("header {name}")).await, value);
    }
    // What is about the answer to the handshake is not about those to messages. What is empty is not sent back.
    for name in ["accept-encoding", "range", "if-none-match"] {
        socket.send(format!("header {name}")).await;
        assert_eq!(socket.says("no more").await, "no more", "{name}");
    }
    // Nobody outside says what only the host says.
    let request = Request::get("/a/x").header("x-skep-websocket", "message");
    let request = request.header("x-skep-connection", "some");
    let answer = host.request(request.body(empty()).unwrap()).await;
    assert_eq!(answer.text(), "404", "it was a request as any other");
    host.stop().await;
}

#[tokio::test]
async fn a_connection_outlives_the_revision_that_accepted_it() {
    let host = probed("env = { REVISION = \"1\" }").start().await;
    let mut socket = Socket::open(&host, "/a/x").await;
    let id = socket.id().await;
    assert_eq!(socket.says("revision").await, "1");
    let routes = "[[route]]\npath = \"/a/{*rest}\"\nwebsocket = true\n";
    host.put("a.toml", format!("env = {{ REVISION = \"2\" }}\n{routes}"));
    host.promoted("a", 2).await;
    assert_eq!(socket.says("revision").await, "2");
    assert_eq!(socket.id().await, id);
    // The newest revision sends to it, too.
    let pushed = host.get(&format!("/a/x?to={id}&text=news")).await;
    assert_eq!(pushed.text(), "202");
    assert_eq!(socket.text().await, "news");
    host.stop().await;
}

#[tokio::test]
async fn connections_go_with_their_service() {
    let routes = "[[route]]\npath = \"/a\"\nwebsocket = { ping = \"1s\" }\n";
    let host = Host::with("a", probe("websocket")).manifest("a", routes);
    let host = host.start().await;
    let mut socket = Socket::open(&host, "/a").await;
    socket.id().await;
    host.remove("a.toml");
    host.remove("a.wasm");
    assert_eq!(socket.closed().await, 1001);
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_fails_loses_the_connection_and_no_other() {
    let host = probed("").start().await;
    let mut beside = Socket::open(&host, "/a/x").await;
    for (text, code) in [
        ("status 500", 1011),
        ("status 403", 1008),
        ("status 429", 1013),
        ("status 503", 1013),
        ("trap", 1011),
        ("nonsense", 1011),
        ("coded gzip", 1011),
        ("big 70000", 1011),
    ] {
        let mut socket = Socket::open(&host, "/a/x").await;
        let id = socket.id().await;
        socket.send(text).await;
        assert_eq!(socket.closed().await, code, "{text}");
        printed(&host, &format!("disconnect {id} {code}")).await;
    }
    let coded = |line: &Line| line.message().contains("no message can be made");
    host.log_line("a warning of the host", coded).await;
    assert_eq!(beside.says("coded identity").await, "coded");
    assert_eq!(beside.says("still here").await, "still here");
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_breaks_off_is_one_that_has_left() {
    let host = probed("").start().await;
    let mut raw = Raw::open(&host, "/a/x").await;
    raw.send(frame(TEXT, b"id")).await;
    let (_, id) = raw.frame().await.unwrap();
    let id = String::from_utf8(id).unwrap();
    // What it has said before is worked on.
    raw.send(frame(TEXT, b"last words")).await;
    drop(raw);
    printed(&host, &format!("message {id} 10 last words")).await;
    printed(&host, &format!("disconnect {id} 1006")).await;
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_its_handshake_was_never_connected_or_is_told_of() {
    let host = probed("").start().await;
    let mut wire = host.wire().await;
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
    wire.send(format!(
        "GET /a/x?wait=100 HTTP/1.1\r\nHost: here\r\n{upgrade}\r\n{key}\r\n\r\n"
    ))
    .await;
    printed(&host, "connect ").await;
    drop(wire);
    until_there_are(&host, 0.0).await;
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_stops_says_so_and_the_service_learns_of_every_end() {
    let host = probed("").start().await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = Socket::open(&host, "/a/x").await;
        let id = socket.id().await;
        sockets.push((id, socket));
    }
    let mut working = Socket::open(&host, "/a/x").await;
    working.send("wait 300").await;
    printed(&host, "message ").await;
    host.works_on("a", 1).await;
    host.signal(Signal::TERM);
    assert_eq!(working.text().await, "waited", "what runs is finished");
    assert_eq!(working.closed().await, 1001);
    for (id, socket) in sockets {
        assert_eq!(socket.closed().await, 1001);
        printed(&host, &format!("disconnect {id} 1001")).await;
    }
    let log = host.log.clone();
    host.ended().await;
    let gone = log.all(|line| line.message().starts_with("disconnect "));
    assert_eq!(gone.len(), 4);
}

#[tokio::test]
async fn tls_makes_no_difference() {
    const NAME: &str = "shop.example";
    let authority = Authority::new();
    let pair = authority.issue(&[NAME]);
    let setup = probed("").file("0.pem", &pair.pem);
    let setup = setup.file("0.key", pair.key.serialize_pem()).settings(
        "[tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = [{ cert = \"0.pem\", key = \"0.key\" }]",
    );
    let host = setup.start().await;
    let client = authority.trusting().offering(&["http/1.1"]);
    let stream = client.shake(host.tls[0], NAME).await.unwrap();
    let request = handshake(host.tls[0], "/a/x");
    let mut socket = Socket::on(stream, request).await.unwrap();
    assert_eq!(socket.says("hello").await, "hello");
    let id = socket.id().await;
    socket.close(1000).await;
    printed(&host, &format!("disconnect {id} 1000")).await;
    host.stop().await;
}

#[tokio::test]
async fn other_requests_of_the_route_and_of_other_routes_are_what_they_were() {
    let host = probed("").and("b", guest("hello")).start().await;
    for mut connection in host.both().await {
        assert_eq!(connection.get("/a/x").await.text(), "404");
    }
    // A route without WebSockets does not upgrade.
    let refused = Socket::with(&host, "/b", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 200);
    let refused = host.request(get("/b")).await;
    assert_eq!(refused.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn policies_of_the_route_come_before_the_service() {
    let routes = "[[route]]\npath = \"/a/{*rest}\"\nwebsocket = true\nrewrite = \"/v2/{rest}\"\n\
                  [route.edge.request_headers]\nset = { x-own = \"of the gateway\" }\n\
                  [[route]]\npath = \"/closed\"\nwebsocket = true\n[route.edge.maintenance]\n";
    let host = Host::with("a", probe("websocket")).manifest("a", routes);
    let host = host.start().await;
    let refused = Socket::with(&host, "/closed", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 503);
    let mut socket = Socket::open(&host, "/a/room").await;
    assert_eq!(socket.says("target").await, "/v2/room");
    assert_eq!(socket.says("header x-own").await, "of the gateway");
    host.stop().await;
}
