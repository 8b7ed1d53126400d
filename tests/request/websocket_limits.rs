//! What WebSockets may use, and who gets one.

use serde_json::json;

use crate::support::issuer::{Key, key_set, now};
use crate::support::setup::Setup;
use crate::support::websocket::{CLOSE, PING, Raw, Socket, TEXT, frame, until_there_are};
use crate::support::{Host, probe};

fn probed(settings: &str) -> Setup {
    let route = format!("[[route]]\npath = \"/a\"\n[route.websocket]\n{settings}");
    Host::with("a", probe("websocket")).manifest("a", &route)
}

#[tokio::test]
async fn there_are_no_more_than_a_service_or_the_host_may_have() {
    let of_service = probed("connections = 2");
    let of_host = probed("").settings("[connections]\nwebsockets = 2\n");
    for setup in [of_service, of_host] {
        let host = setup.start().await;
        let first = Socket::open(&host, "/a").await;
        let _second = Socket::open(&host, "/a").await;
        let refused = Socket::with(&host, "/a", &[]).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        let body = String::from_utf8(refused.body().clone().unwrap()).unwrap();
        assert!(body.contains("sockets_full"), "{body}");
        assert_eq!(host.get("/a").await.status(), 200, "requests go on");
        first.close(1000).await;
        until_there_are(&host, 1.0).await;
        Socket::open(&host, "/a").await;
        host.stop().await;
    }
}

#[tokio::test]
async fn they_count_as_connections_of_the_gateway_until_they_end() {
    let settings = "[connections]\nmax = 1\n[timeouts]\nheader = \"1s\"\nidle = \"1s\"\n";
    let host = probed("").settings(settings).start().await;
    let mut socket = Socket::open(&host, "/a").await;
    let waits = host.begin("/a").await;
    // Longer than a connection without a request may last.
    assert_eq!(socket.says("wait 3000").await, "waited");
    assert!(!waits.is_over(), "there is no room for it");
    assert_eq!(socket.says("hello").await, "hello");
    socket.close(1000).await;
    assert_eq!(waits.finish().await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn who_says_nothing_for_long_goes() {
    let host = probed("idle = \"1s\"").start().await;
    let mut socket = Socket::open(&host, "/a").await;
    // What is worked on is no silence.
    assert_eq!(socket.says("wait 1500").await, "waited");
    assert_eq!(socket.closed().await, 1001);
    host.stop().await;
}

#[tokio::test]
async fn who_does_not_answer_pings_is_gone_and_who_does_stays() {
    let host = probed("ping = \"1s\"").start().await;
    let mut there = Raw::open(&host, "/a").await;
    let mut gone = Raw::open(&host, "/a").await;
    for _ in 0..3 {
        let (first, payload) = there.frame().await.unwrap();
        assert_eq!(first, PING);
        there.send(frame(0x8a, &payload)).await;
    }
    let (first, _) = gone.frame().await.unwrap();
    assert_eq!(first, PING);
    assert_eq!(gone.closed().await, None, "there is nobody to tell");
    let left = "disconnect ";
    let line = host.log_line("an end", |line| line.message().starts_with(left));
    let line = line.await;
    assert!(line.message().ends_with(" 1006"), "{line:?}");
    there.send(frame(TEXT, b"hello")).await;
    let answer = loop {
        let (first, payload) = there.frame().await.unwrap();
        if first != PING {
            break (first, payload);
        }
    };
    assert_eq!(answer, (TEXT, b"hello".to_vec()));
    there.send(frame(CLOSE, b"")).await;
    there.ended().await;
    until_there_are(&host, 0.0).await;
    let without_code = |line: &crate::support::log::Line| line.message().ends_with(" 1005");
    host.log_line("an end without a code", without_code).await;
    host.stop().await;
}

#[tokio::test]
async fn who_is_slow_in_sending_one_message_is_not_gone() {
    let host = probed("ping = \"1s\"").start().await;
    let mut slow = Raw::open(&host, "/a").await;
    let mut beside = Socket::open(&host, "/a").await;
    // Longer than who says nothing has.
    for part in frame(TEXT, b"hello").chunks(2) {
        slow.send(part).await;
        assert_eq!(beside.says("wait 700").await, "waited");
    }
    let (first, payload) = loop {
        let frame = slow.frame().await.expect("the client is there");
        if frame.0 != PING {
            break frame;
        }
    };
    assert_eq!((first, payload), (TEXT, b"hello".to_vec()));
    host.stop().await;
}

#[tokio::test]
async fn who_only_reads_and_slowly_is_there() {
    let host = probed("ping = \"5s\"\nqueue = 4").start().await;
    let mut slow = Raw::open(&host, "/a").await;
    slow.send(frame(TEXT, b"id")).await;
    let id = String::from_utf8(slow.frame().await.unwrap().1).unwrap();
    let mut beside = Socket::open(&host, "/a").await;
    let push = format!("push {id} {}", "x".repeat(60_000));
    // There is more to read at any time, and longer than who says nothing has.
    for _ in 0..5 {
        let mut left = 0;
        while beside.says(&push).await == "202" {
            left += 1;
        }
        assert_eq!(beside.says("wait 2500").await, "waited");
        while left > 0 {
            let (first, _) = slow.frame().await.expect("the client is there");
            left -= u32::from(first != PING);
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn a_connection_ends_when_the_token_does_that_it_was_made_with() {
    let key = Key::ed25519("o");
    let auth = "[route.edge.auth.jwt]\njwks = 'keys.json'\nissuer = 'https://issuer.example/'\n\
                audience = ['shop']\nleeway = '0s'\n";
    let route = format!("[[route]]\npath = \"/a\"\nwebsocket = true\n{auth}");
    let setup = Host::with("a", probe("websocket")).manifest("a", &route);
    setup.put("keys.json", key_set(&[&key]));
    let host = setup.start().await;
    let connect = async |lasts: u64| {
        let token = key.token(&json!({"exp": now() + lasts}));
        let bearer = format!("Bearer {token}");
        let asked = Socket::with(&host, "/a", &[("authorization", &bearer)]).await;
        asked.unwrap()
    };
    let (mut short, mut long) = (connect(4).await, connect(600).await);
    assert_eq!(short.says("hello").await, "hello");
    assert_eq!(short.closed().await, 1008);
    host.log_line("an end", |line| line.message().ends_with(" 1008"))
        .await;
    assert_eq!(long.says("hello").await, "hello");
    host.stop().await;
}

#[tokio::test]
async fn a_service_learns_of_an_end_whatever_it_limits() {
    let manifest = "[rate_limit]\nrequests_per_second = 0.001\nburst = 5\n\
                    [limits]\nconcurrency = 1\nqueue = 1\n\
                    [[route]]\npath = \"/a\"\nwebsocket = true\n";
    let host = Host::with("a", probe("websocket")).manifest("a", manifest);
    let host = host.start().await;
    let (mut one, mut other) = (
        Socket::open(&host, "/a").await,
        Socket::open(&host, "/a").await,
    );
    let id = one.id().await;
    // What is worked on and what waits are all that the service takes, and the last that its rate limit does.
    other.send("wait 3000").await;
    let waits = |line: &crate::support::log::Line| line.message().ends_with(" wait 3000");
    host.log_line("a message", waits).await;
    let waiting = host.begin("/a").await;
    host.queues("a", 1).await;
    one.close(1000).await;
    let told = format!("disconnect {id} 1000");
    host.log_line("an end", |line| line.message() == told).await;
    assert_eq!(other.text().await, "waited");
    assert_eq!(waiting.finish().await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_connect_only_where_they_may() {
    const SHOP: &str = "https://shop.example";
    const OTHER: &str = "https://other.example";
    let listed = "origins = [\"https://shop.example\"]";
    for (settings, origins) in [
        (listed, [(SHOP, true), (OTHER, false), ("null", false)]),
        (
            "origins = [\"*\"]",
            [(SHOP, true), (OTHER, true), ("null", true)],
        ),
        (
            "",
            [("", true), (SHOP, false), ("by another scheme", false)],
        ),
    ] {
        let host = probed(settings).start().await;
        let own = format!("http://{}", host.gateway);
        let by_another = format!("https://{}", host.gateway);
        for (origin, expected) in origins {
            let origin = match origin {
                "" => own.as_str(),
                "by another scheme" => by_another.as_str(),
                other => other,
            };
            let asked = Socket::with(&host, "/a", &[("origin", origin)]).await;
            let status = asked.map_or_else(|refused| refused.status().as_u16(), |_| 101);
            let expected = if expected { 101 } else { 403 };
            assert_eq!(status, expected, "{settings} {origin}");
        }
        // Who names no origin is no browser.
        Socket::open(&host, "/a").await;
        host.stop().await;
    }
}

#[tokio::test]
async fn a_message_is_a_request_with_all_that_holds_for_requests() {
    let manifest = "[rate_limit]\nrequests_per_second = 0.001\nburst = 3\n[limits]\nbody = \"10B\"\n\
                    [[route]]\npath = \"/a\"\nwebsocket = true\n";
    let host = Host::with("a", probe("websocket")).manifest("a", manifest);
    let host = host.start().await;
    let mut socket = Socket::open(&host, "/a").await;
    assert_eq!(socket.says("one").await, "one");
    assert_eq!(socket.says("two").await, "two");
    socket.send("three").await;
    assert_eq!(socket.closed().await, 1013);
    let refused = Socket::with(&host, "/a", &[]).await.unwrap_err();
    assert_eq!(refused.status(), 429);
    let logged = |line: &crate::support::log::Line| {
        line.target() == "skep::request" && line.field("method") == "POST"
    };
    let line = host.log_line("a message's request", logged).await;
    assert_eq!(line.field("path"), "/a");
    host.stop().await;
}
