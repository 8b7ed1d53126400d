//! Clients that break the protocol of WebSockets, by chance or by intent.

use crate::support::setup::Setup;
use crate::support::websocket::{
    CLOSE, ENDS, GOES_ON, PING, PONG, Raw, Socket, TEXT, TEXT_BEGINS, frame, head,
};
use crate::support::{Host, probe};

fn probed(settings: &str) -> Setup {
    let route = format!("[[route]]\npath = \"/a\"\n[route.websocket]\n{settings}");
    Host::with("a", probe("websocket")).manifest("a", &route)
}

/// The beginning of a frame of so many bytes.
fn huge(length: u64) -> Vec<u8> {
    let mut bytes = head(TEXT, length, true);
    bytes.extend([0; 4]);
    bytes
}

/// What the host closes with after these bytes.
async fn closes_after(host: &Host, bytes: &[u8]) -> Option<u16> {
    let mut raw = Raw::open(host, "/a").await;
    // It may have hung up before all are sent.
    raw.try_send(bytes).await;
    let code = raw.closed().await;
    raw.ended().await;
    code
}

#[tokio::test]
async fn what_breaks_the_protocol_is_answered_with_a_code_and_the_end() {
    let host = probed("message = \"1KiB\"").start().await;
    let long = [b'x'; 126];
    let mut text_in_text = frame(TEXT_BEGINS, b"a");
    text_in_text.extend(frame(TEXT, b"b"));
    let mut unmasked = head(TEXT, 2, false);
    unmasked.extend(b"hi");
    for (what, bytes, code) in [
        ("an unmasked frame", unmasked, 1002),
        ("the first reserved bit", frame(TEXT | 0x40, b"a"), 1002),
        ("the last reserved bit", frame(TEXT | 0x10, b"a"), 1002),
        ("an unknown data frame", frame(0x83, b""), 1002),
        ("an unknown control frame", frame(0x8b, b""), 1002),
        ("a ping that goes on", frame(PING & 0x0f, b""), 1002),
        ("a ping that is too long", frame(PING, &long), 1002),
        ("a close that is too short", frame(CLOSE, &[3]), 1002),
        (
            "a close with a code for nobody",
            frame(CLOSE, &1005_u16.to_be_bytes()),
            1002,
        ),
        ("the middle of nothing", frame(GOES_ON, b"a"), 1002),
        ("a text in a text", text_in_text, 1002),
        ("a text that is none", frame(TEXT, &[0xc3, 0x28]), 1007),
        ("half a character", frame(TEXT, &[0xc3]), 1007),
        ("a surrogate", frame(TEXT, &[0xed, 0xa0, 0x80]), 1007),
        (
            "a reason that is no text",
            frame(CLOSE, &[0x03, 0xe8, 0xff]),
            1007,
        ),
        ("too much at once", frame(TEXT, &[b'x'; 1025]), 1009),
        ("a length of 2^62 bytes", huge(1 << 62), 1009),
        ("a length of 2^64 - 1 bytes", huge(u64::MAX), 1009),
    ] {
        assert_eq!(closes_after(&host, &bytes).await, Some(code), "{what}");
    }
    // None of it was the service's to know, and the host serves on.
    let told = host.log.all(|line| line.message().starts_with("message"));
    assert!(told.is_empty(), "{told:?}");
    let mut socket = Socket::open(&host, "/a").await;
    assert_eq!(socket.says("hello").await, "hello");
    host.stop().await;
}

#[tokio::test]
async fn fragments_with_pings_between_them_are_one_message() {
    let host = probed("").start().await;
    let mut raw = Raw::open(&host, "/a").await;
    raw.send(frame(TEXT_BEGINS, "gr\u{fc}".as_bytes().split_at(3).0))
        .await;
    raw.send(frame(PING, b"there?")).await;
    assert_eq!(raw.frame().await, Some((PONG, b"there?".to_vec())));
    raw.send(frame(GOES_ON, b"\xbc")).await;
    raw.send(frame(GOES_ON, b"")).await;
    raw.send(frame(PONG, b"unasked")).await;
    raw.send(frame(ENDS, b"n")).await;
    let (first, payload) = raw.frame().await.unwrap();
    assert_eq!((first, &*payload), (TEXT, "gr\u{fc}n".as_bytes()));
    raw.send(frame(CLOSE, &1000_u16.to_be_bytes())).await;
    assert_eq!(raw.closed().await, Some(1000));
    raw.ended().await;
    host.stop().await;
}

#[tokio::test]
async fn many_fragments_are_no_way_around_the_size_of_a_message() {
    let host = probed("message = \"1KiB\"").start().await;
    let mut bytes = frame(TEXT_BEGINS, &[b'x'; 512]);
    for _ in 0..3 {
        bytes.extend(frame(GOES_ON, &[b'x'; 200]));
    }
    assert_eq!(closes_after(&host, &bytes).await, Some(1009));
    let mut raw = Raw::open(&host, "/a").await;
    // Each byte on its own, up to what is allowed.
    raw.send(frame(TEXT_BEGINS, b"x")).await;
    for _ in 0..1022 {
        raw.send(frame(GOES_ON, b"x")).await;
    }
    raw.send(frame(ENDS, b"x")).await;
    assert_eq!(raw.frame().await.unwrap().1.len(), 1024);
    host.stop().await;
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_connection() {
    let host = probed("").start().await;
    let mut beside = Socket::open(&host, "/a").await;
    let pings = frame(PING, b"!").repeat(1000);
    assert_eq!(closes_after(&host, &pings).await, Some(1008));
    assert_eq!(beside.says("hello").await, "hello");
    host.stop().await;
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let host = probed("").start().await;
    let sound = [
        "GET /a HTTP/1.1",
        "Host: here",
        "Connection: Upgrade, close",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for (at, instead, status) in [
        (0, "POST /a HTTP/1.1", "400 "),
        (0, "GET /a HTTP/1.0", "200 "),
        (2, "Connection: close", "200 "),
        (3, "Upgrade: h2c", "200 "),
        (4, "Sec-WebSocket-Version: 8", "426 "),
        (4, "X-None: 1", "426 "),
        (5, "Sec-WebSocket-Key: short", "400 "),
        (5, "Sec-WebSocket-Key: \u{ff}", "400 "),
        (5, "X-None: 1", "400 "),
        (1, "Host: here\r\nContent-Length: 1", "400 "),
        (1, "Host: here\r\nOrigin: a\r\nOrigin: b", "400 "),
    ] {
        let mut lines = sound;
        lines[at] = instead;
        let answer = host.raw(lines.join("\r\n") + "\r\n\r\n").await;
        let found = answer.split_once(' ').map_or("", |(_, rest)| rest);
        assert!(found.starts_with(status), "{instead}: {answer}");
        let names_version = answer.contains("sec-websocket-version: 13\r\n");
        assert_eq!(names_version, status == "426 ", "{answer}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_without_reading_is_made_to_wait_and_then_given_up() {
    let settings = "[timeouts]\nbody_idle = \"1s\"\n";
    let host = probed("").settings(settings).start().await;
    let mut beside = Socket::open(&host, "/a").await;
    let mut raw = Raw::open(&host, "/a").await;
    let message = frame(TEXT, &[b'x'; 60_000]);
    // What comes back fills all that there is between the two, and then nothing goes any more.
    while raw.try_send(&message).await {}
    let begins = "disconnect ";
    let ended = host.log_line("the end", |line| line.message().starts_with(begins));
    let ended = ended.await;
    assert!(ended.message().ends_with(" 1006"), "{ended:?}");
    assert_eq!(beside.says("hello").await, "hello");
    host.stop().await;
}
