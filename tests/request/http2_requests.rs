//! A request over HTTP/2 that is malformed (RFC 9113, 8.1.1) is refused and reaches no guest, and one that is not means
//! what it means over HTTP/1.1.

use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PROTOCOL_ERROR, asks, block, frame,
    headers, post,
};
use crate::support::{Host, guest, probe};

type Fields = Vec<(&'static str, &'static str)>;

/// What is wrong, and the fields that say so: of the pseudo-header fields, and what else says for which host it is.
fn malformed_pseudo_fields() -> Vec<(&'static str, Fields)> {
    let (method, path) = ((":method", "GET"), (":path", "/a"));
    let (scheme, authority) = ((":scheme", "http"), (":authority", "here"));
    let with = |field| [asks("GET", "/a"), vec![field]].concat();
    let at = |path| asks("GET", path);
    vec![
        ("nothing", vec![]),
        ("no method", vec![path, scheme, authority]),
        ("no path", vec![method, scheme, authority]),
        ("no scheme", vec![method, path, authority]),
        ("no host", vec![method, path, scheme]),
        ("two methods", with((":method", "POST"))),
        ("two paths", with((":path", "/b"))),
        ("two schemes", with((":scheme", "https"))),
        ("two authorities", with((":authority", "there"))),
        ("a status", with((":status", "200"))),
        ("an unknown pseudo-header", with((":x", "y"))),
        ("a protocol", with((":protocol", "websocket"))),
        (
            "a late pseudo-header",
            vec![method, scheme, authority, ("x", "y"), path],
        ),
        ("an empty path", at("")),
        ("a path that is none", at("a")),
        ("all of the host, but to be fetched", at("*")),
        ("an empty method", asks("", "/a")),
        ("a method of two words", asks("GET /a HTTP/1.1\r\nx:", "/a")),
        ("a space in the path", at("/a b")),
        ("a line break in the path", at("/a\r\nx: y")),
        (
            "an empty authority",
            vec![method, path, scheme, (":authority", "")],
        ),
        (
            "a user",
            vec![method, path, scheme, (":authority", "me@here")],
        ),
        (
            "a port that is none",
            vec![method, path, scheme, (":authority", "here:http")],
        ),
        ("another host", with(("host", "there"))),
        ("another port", with(("host", "here:81"))),
        (
            "two hosts",
            [asks("GET", "/a"), vec![("host", "here"), ("host", "here")]].concat(),
        ),
    ]
}

/// The same of other fields.
fn malformed_fields() -> Vec<(&'static str, Fields)> {
    let with = |field| [asks("GET", "/a"), vec![field]].concat();
    vec![
        ("upper case", with(("X-Upper", "y"))),
        ("an empty name", with(("", "y"))),
        ("a space in a name", with(("x y", "z"))),
        ("a colon in a name", with(("x:y", "z"))),
        ("a line break in a name", with(("x\r\ny", "z"))),
        ("a line break in a value", with(("x", "y\r\nz: 1"))),
        ("a line feed in a value", with(("x", "y\nz"))),
        ("a zero in a value", with(("x", "y\0z"))),
        ("a space before a value", with(("x", " y"))),
        ("a tab after a value", with(("x", "y\t"))),
        ("connection", with(("connection", "close"))),
        ("keep-alive", with(("keep-alive", "timeout=5"))),
        ("proxy-connection", with(("proxy-connection", "close"))),
        ("transfer-encoding", with(("transfer-encoding", "chunked"))),
        ("upgrade", with(("upgrade", "websocket"))),
        ("te", with(("te", "gzip"))),
        ("te with more", with(("te", "trailers, gzip"))),
        ("a length and no body", with(("content-length", "5"))),
        ("a length that is none", with(("content-length", "x"))),
        (
            "two lengths",
            [
                asks("GET", "/a"),
                vec![("content-length", "0"), ("content-length", "1")],
            ]
            .concat(),
        ),
        (
            "a tunnel",
            vec![(":method", "CONNECT"), (":authority", "here:80")],
        ),
        ("a tunnel with a path", asks("CONNECT", "/a")),
        (
            "a tunnel with a body",
            vec![
                (":method", "CONNECT"),
                (":authority", "here:80"),
                ("content-length", "1"),
            ],
        ),
    ]
}

#[tokio::test]
async fn a_malformed_head_reaches_no_guest() {
    let host = Host::empty().serving(guest("hello")).start().await;
    let cases = malformed_pseudo_fields()
        .into_iter()
        .chain(malformed_fields());
    for (what, fields) in cases {
        let mut frames = Frames::open(host.gateway, &[]).await;
        frames.send(headers(1, &fields)).await;
        let outcome = frames.outcome(1).await;
        let refused = match outcome {
            Outcome::Reset(code) | Outcome::Gone(Some(code)) => code == PROTOCOL_ERROR,
            Outcome::Status(status) => status == 400,
            Outcome::Gone(None) => what == "a tunnel with a body",
        };
        assert!(refused, "{what}: {outcome:?}");
    }
    let counted = host
        .metric("skep_requests_total", &[("status", "200")])
        .await;
    assert_eq!(counted, None, "a guest was asked");
    let mut frames = Frames::open(host.gateway, &[]).await;
    frames.send(headers(1, &asks("GET", "/a"))).await;
    assert_eq!(frames.status(1).await, 200);
    host.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_says_is_not_taken_for_whole() {
    let host = Host::with("a", probe("upload")).start().await;
    for (what, sent) in [("short", "ab"), ("long", "abcdef")] {
        let mut frames = Frames::open(host.gateway, &[]).await;
        let head = [asks("POST", "/a"), vec![("content-length", "4")]].concat();
        let head = frame(HEADERS, END_HEADERS, 1, block(&head));
        frames
            .send([head, frame(DATA, END_STREAM, 1, sent)].concat())
            .await;
        let outcome = frames.outcome(1).await;
        assert!(
            matches!(
                outcome,
                Outcome::Reset(PROTOCOL_ERROR) | Outcome::Status(400..=499)
            ),
            "{what}: {outcome:?}"
        );
        frames.send(headers(3, &asks("GET", "/a"))).await;
        assert_eq!(frames.status(3).await, 200, "{what}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_host_may_be_said_twice_if_it_is_the_same() {
    let host = Host::with("a", guest("hello")).start().await;
    for said in ["here", "HERE"] {
        let mut frames = Frames::open(host.gateway, &[]).await;
        let fields = [asks("GET", "/a"), vec![("host", said)]].concat();
        frames.send(headers(1, &fields)).await;
        assert_eq!(frames.status(1).await, 200, "{said}");
    }
    // Without an authority the Host header counts, as a request that was HTTP/1.1 has it.
    let mut frames = Frames::open(host.gateway, &[]).await;
    let fields = [
        (":method", "GET"),
        (":path", "/a"),
        (":scheme", "http"),
        ("host", "here"),
    ];
    frames.send(headers(1, &fields)).await;
    assert_eq!(frames.status(1).await, 200);
    host.stop().await;
}

#[tokio::test]
async fn cookies_that_come_apart_reach_a_service_as_one() {
    let host = Host::with("a", probe("headers")).start().await;
    let mut frames = Frames::open(host.gateway, &[]).await;
    let crumbs = vec![
        ("cookie", "a=1"),
        ("x", "y"),
        ("cookie", "b=2; c=3"),
        ("cookie", "d=4"),
    ];
    let fields = [asks("GET", "/a"), crumbs].concat();
    frames.send(headers(1, &fields)).await;
    let data = frames.until("the answer", |frame| frame.kind == DATA).await;
    let seen = String::from_utf8(data.payload).unwrap();
    let cookies: Vec<_> = seen
        .lines()
        .filter(|line| line.starts_with("cookie"))
        .collect();
    assert_eq!(cookies, ["cookie: a=1; b=2; c=3; d=4"], "{seen}");
    host.stop().await;
}

#[tokio::test]
async fn no_more_fields_are_taken_than_over_http_1() {
    let host = Host::with("a", guest("hello"))
        .settings("[connections]\nheaders_max = 20\n")
        .start()
        .await;
    let many = |count| {
        let more = vec![("x", "y"); count];
        headers(1, &[asks("GET", "/a"), more].concat())
    };
    for (count, status) in [(20, 200), (21, 431)] {
        let mut frames = Frames::open(host.gateway, &[]).await;
        frames.send(many(count)).await;
        assert_eq!(frames.outcome(1).await, Outcome::Status(status), "{count}");
        frames.send(headers(3, &asks("GET", "/a"))).await;
        assert_eq!(frames.status(3).await, 200, "{count}");
    }
    host.stop().await;
}

#[tokio::test]
async fn each_side_may_end_first() {
    let host = Host::with("a", guest("hello"))
        .and("b", guest("echo"))
        .start()
        .await;
    let mut frames = Frames::open(host.gateway, &[]).await;
    // The host answers and is done, whatever is yet to come of the body.
    frames.send(post(1, "/a")).await;
    assert_eq!(frames.status(1).await, 200);
    frames
        .until("the end of the answer", |frame| frame.is_end())
        .await;
    frames.send(frame(DATA, END_STREAM, 1, "late")).await;
    // The client is done, and the answer goes on.
    let whole = [post(3, "/b"), frame(DATA, END_STREAM, 3, "early")].concat();
    frames.send(whole).await;
    assert_eq!(frames.status(3).await, 200);
    let data = frames.until("the answer", |frame| frame.kind == DATA).await;
    assert_eq!((data.stream, &*data.payload), (3, &b"early"[..]));
    assert!(frames.answers_pings().await);
    host.stop().await;
}
