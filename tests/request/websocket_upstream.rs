//! WebSockets to a server elsewhere: the server speaks them itself, and the host stands between it and its clients.

use futures::{SinkExt, StreamExt};
use http::header::HeaderMap;
use http::{Request, Response};
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{empty, full};
use crate::support::tls::Authority;
use crate::support::upstream::{Upstream, nobody};
use crate::support::wait::within;
use crate::support::websocket::{Socket, handshake};
use crate::support::websocket_server::{Server, agree, before};
use crate::support::{Host, probe};

#[tokio::test]
async fn messages_pass_as_they_are_both_ways() {
    let mut server = Server::start().await;
    let host = before(&server, "").await;
    let mut client = Socket::open(&host, "/a/room?x=1").await;
    assert_eq!(client.head.status(), 101);
    let mut socket = server.next().await;
    for message in [
        Message::text("hello"),
        Message::text(""),
        Message::binary(vec![0, 0xff]),
        Message::binary(vec![7; 64 << 10]),
    ] {
        client.send(message.clone()).await;
        assert_eq!(socket.next().await, message);
        // It need not be asked to say something.
        socket.send(message.clone()).await;
        socket.send(message.clone()).await;
        assert_eq!(client.next().await, message);
        assert_eq!(client.next().await, message);
    }
    for (direction, count) in [("in", 4.0), ("out", 8.0)] {
        let labels = [("service", "a"), ("direction", direction)];
        let counted = host.metric("skep_websocket_messages_total", &labels).await;
        assert_eq!(counted, Some(count), "{direction}");
    }
    host.stop().await;
}

#[tokio::test]
async fn the_server_gets_a_handshake_of_the_hosts_own_that_says_whom_it_is_for() {
    let mut server = Server::start().await;
    let host = before(&server, "").await;
    let headers = [
        ("cookie", "who=me"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("x-skep-connection", "mine"),
        ("sec-websocket-protocol", "chat, superchat"),
    ];
    let mut request = handshake(host.gateway, "/a/room?x=1");
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let key = request.headers()["sec-websocket-key"].clone();
    let client = Socket::ask(&host, request).await.unwrap();
    let (_socket, seen) = (server.next().await, server.upstream.last());
    assert_eq!(seen.uri, "/base/room?x=1");
    let said = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(said("connection"), Some("Upgrade"));
    assert_eq!(said("upgrade"), Some("websocket"));
    assert_eq!(said("sec-websocket-version"), Some("13"));
    assert_ne!(seen.headers["sec-websocket-key"], key);
    assert_eq!(said("sec-websocket-extensions"), None);
    assert_eq!(said("sec-websocket-protocol"), Some("chat, superchat"));
    assert_eq!(said("cookie"), Some("who=me"));
    assert_eq!(said("x-forwarded-for"), Some("127.0.0.1"));
    assert!(seen.headers.contains_key("x-request-id"));
    let own = |headers: &HeaderMap| {
        headers
            .keys()
            .any(|name| name.as_str().starts_with("x-skep-"))
    };
    assert!(!own(&seen.headers), "{:?}", seen.headers);
    assert_eq!(client.head.headers()["sec-websocket-protocol"], "superchat");
    assert_eq!(client.head.headers()["set-cookie"], "a=b");
    host.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_want_the_connection_says_so_itself() {
    let upstream = Upstream::start(|request| async move {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/page" => return Response::new(full("a page")),
            "/unknown" => {
                return Response::builder()
                    .status(401)
                    .header("www-authenticate", "Basic")
                    .body(full("who are you?"))
                    .unwrap();
            }
            _ => {}
        }
        let (mut answer, _socket) = agree(request);
        let headers = answer.headers_mut();
        match path.as_str() {
            "/proof" => drop(headers.insert("sec-websocket-accept", "no".parse().unwrap())),
            "/other" => drop(headers.insert("upgrade", "h2c".parse().unwrap())),
            "/protocol" => {
                let protocol = "unasked".parse().unwrap();
                headers.insert("sec-websocket-protocol", protocol);
            }
            _ => drop(headers.insert("sec-websocket-extensions", "x".parse().unwrap())),
        }
        answer
    })
    .await;
    let manifest = "[[route]]\npath = \"/a/{*rest}\"\nstrip_prefix = true\nwebsocket = true\n";
    let host = Host::empty()
        .manifest("a", &format!("upstream = {:?}\n{manifest}", upstream.url()))
        .start()
        .await;
    let refused = Socket::with(&host, "/a/unknown", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["www-authenticate"], "Basic");
    let page = Socket::with(&host, "/a/page", &[]).await.unwrap_err();
    assert_eq!(page.status(), 200, "there is nothing to open");
    for path in ["/a/proof", "/a/other", "/a/protocol", "/a/extension"] {
        let refused = Socket::with(&host, path, &[]).await.unwrap_err();
        assert_eq!(refused.status(), 502, "{path}");
    }
    let line = |line: &crate::support::log::Line| line.text().contains("sec-websocket-accept");
    assert!(host.log.find(line).await.is_some());
    let plain = Request::get("/a/page").body(empty()).unwrap();
    assert_eq!(host.request(plain).await.text(), "a page");
    let open = host
        .metric("skep_websocket_connections", &[("service", "a")])
        .await;
    assert_eq!(open, Some(0.0));
    host.stop().await;
}

#[tokio::test]
async fn a_handshake_is_tried_at_another_server_when_one_is_not_there() {
    let mut server = Server::start().await;
    let gone = nobody().await;
    let manifest = format!(
        "upstream = [\"http://{gone}\", {:?}]\n[retry]\n[[route]]\npath = \"/a\"\nwebsocket = true\n",
        server.upstream.url()
    );
    let host = Host::empty().manifest("a", &manifest).start().await;
    for text in ["one", "two", "three"] {
        let mut client = Socket::open(&host, "/a").await;
        let mut socket = server.next().await;
        client.send(text).await;
        assert_eq!(socket.text().await, text);
    }
    host.stop().await;
}

#[tokio::test]
async fn connections_are_spread_over_servers_as_requests_are() {
    let (mut one, mut other) = (Server::start().await, Server::start().await);
    let manifest = format!(
        "upstream = [{:?}, {:?}]\n[[route]]\npath = \"/a\"\nwebsocket = true\n",
        one.upstream.url(),
        other.upstream.url()
    );
    let host = Host::empty().manifest("a", &manifest).start().await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::open(&host, "/a").await);
        sockets.push(Socket::open(&host, "/a").await);
        // Each second one goes to whom has one less.
        drop((one.next().await, other.next().await));
    }
    host.stop().await;
}

#[tokio::test]
async fn who_is_written_to_and_who_writes_do_not_wait_for_each_other() {
    const MESSAGES: usize = 2_000;
    let mut server = Server::start().await;
    let host = before(&server, "").await;
    let client = Socket::open(&host, "/a/x").await;
    let (mut say, mut hear) = server.next().await.halves();
    // Each side writes all before the other need read any of it.
    let echo = tokio::spawn(async move {
        while let Some(Ok(message)) = hear.next().await {
            if say.send(message).await.is_err() {
                break;
            }
        }
    });
    let (mut say, mut hear) = client.halves();
    let saying = tokio::spawn(async move {
        for at in 0..MESSAGES {
            let message = format!("{at} {}", "x".repeat(16 << 10));
            say.send(message.into()).await.unwrap();
        }
        say
    });
    for at in 0..MESSAGES {
        let message = within("an echo", hear.next()).await.unwrap().unwrap();
        let text = message.into_text().unwrap();
        assert!(text.starts_with(&format!("{at} ")), "{at}: {:.10}", text);
    }
    drop(saying.await.unwrap());
    drop(hear);
    within("the server to learn of the end", echo)
        .await
        .unwrap();
    host.stop().await;
}

#[tokio::test]
async fn a_connection_outlives_a_deployment_of_something_else() {
    let mut server = Server::start().await;
    let route = "[[route]]\npath = \"/a\"\nwebsocket = true\n";
    let manifest = format!("upstream = {:?}\n{route}", server.upstream.url());
    let host = Host::empty().manifest("a", &manifest).start().await;
    let mut old = Socket::open(&host, "/a").await;
    let mut socket = server.next().await;
    host.deploy("a", probe("websocket"));
    host.put("a.toml", route);
    host.promoted("a", 2).await;
    old.send("still there?").await;
    assert_eq!(socket.text().await, "still there?");
    socket.send("yes").await;
    assert_eq!(old.text().await, "yes");
    // Who comes now talks with the component, until the server is back: that is told of no messages of others.
    let mut new = Socket::open(&host, "/a").await;
    assert_eq!(new.says("hello").await, "hello");
    host.put("a.toml", manifest);
    host.promoted("a", 3).await;
    let asked = server.upstream.asked();
    new.send("hello").await;
    assert_eq!(new.closed().await, 1013);
    assert_eq!(server.upstream.asked(), asked);
    socket.send("and you?").await;
    assert_eq!(old.text().await, "and you?");
    host.stop().await;
}

#[tokio::test]
async fn tls_makes_no_difference() {
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let mut server = Server::secure(&pair).await;
    let manifest = format!(
        "upstream = \"https://localhost:{}\"\nupstream_ca = \"ca.pem\"\n[[route]]\npath = \"/a\"\nwebsocket = true\n",
        server.upstream.address.port()
    );
    let setup = Host::empty().manifest("a", &manifest);
    setup.put("ca.pem", authority.pem());
    let host = setup.start().await;
    let mut client = Socket::open(&host, "/a").await;
    let mut socket = server.next().await;
    client.send("hello").await;
    assert_eq!(socket.text().await, "hello");
    host.stop().await;
}
