//! HTTP/2 as RFC 9113 has it, frame by frame: what breaks a connection, what breaks a stream alone, and what is ignored.
//! Whatever one connection sends, others are served.

use crate::support::frames::{
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM,
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, Frames, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE, NO_ERROR, Outcome, PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR,
    PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, asks, block, frame, get,
    headers, post, reset, settings, window,
};
use crate::support::{Host, fault, guest, probe};

/// A frame is no larger unless the host says so.
const FRAME_BYTES_MAX: usize = 16_384;
const WINDOW_MAX: u32 = 0x7fff_ffff;

/// What is sent, and the codes that may come of it.
type Case = (&'static str, Vec<u8>, &'static [u32]);

/// A host with `a`, which answers, `b`, which reads a body and answers, and `c`, which never answers.
async fn host() -> Host {
    Host::with("a", guest("hello"))
        .and("b", probe("upload"))
        .and("c", fault("sleep"))
        .manifest("c", "[limits]\ntimeout = \"600s\"\n")
        .start()
        .await
}

/// Each must end the connection with one of its codes.
async fn end_connections(host: &Host, cases: Vec<Case>) {
    for (what, bytes, codes) in cases {
        let mut frames = Frames::open(host.gateway, &[]).await;
        frames.try_send(&bytes).await;
        let code = frames.end().await;
        let code = code.unwrap_or_else(|| panic!("{what}: no GOAWAY"));
        assert!(codes.contains(&code), "{what}: {code}");
    }
    assert_eq!(host.get("/a").await.status(), 200);
}

#[tokio::test]
async fn frames_that_are_none_end_the_connection() {
    let host = host().await;
    let sized: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];
    let wrong: &[u32] = &[PROTOCOL_ERROR];
    let large = vec![0; FRAME_BYTES_MAX + 1];
    let large_body = [post(1, "/b"), frame(DATA, 0, 1, &large)].concat();
    let padded = |kind, flags| frame(kind, flags | PADDED, 1, [9, 0, 0]);
    let body_of_pads = [post(1, "/b"), padded(DATA, 0)].concat();
    end_connections(
        &host,
        vec![
            ("large DATA", large_body, &[FRAME_SIZE_ERROR]),
            (
                "large HEADERS",
                frame(HEADERS, END_HEADERS, 1, &large),
                &[FRAME_SIZE_ERROR],
            ),
            ("large PING", frame(PING, 0, 0, &large), &[FRAME_SIZE_ERROR]),
            ("DATA of pads", body_of_pads, wrong),
            ("HEADERS of pads", padded(HEADERS, END_HEADERS), wrong),
            ("short PING", frame(PING, 0, 0, [0; 7]), sized),
            ("short PRIORITY", frame(PRIORITY, 0, 1, [0; 4]), sized),
            (
                "short RST_STREAM",
                [get(1, "/c"), frame(RST_STREAM, 0, 1, [0; 3])].concat(),
                sized,
            ),
            (
                "short WINDOW_UPDATE",
                frame(WINDOW_UPDATE, 0, 0, [0; 3]),
                sized,
            ),
            ("half a setting", frame(SETTINGS, 0, 0, [0; 5]), sized),
            (
                "SETTINGS acknowledged with more",
                frame(SETTINGS, ACK, 0, [0; 6]),
                sized,
            ),
            ("PING of a stream", frame(PING, 0, 1, [0; 8]), wrong),
            ("SETTINGS of a stream", frame(SETTINGS, 0, 1, []), wrong),
            ("GOAWAY of a stream", frame(GOAWAY, 0, 1, [0; 8]), wrong),
            (
                "HEADERS of none",
                frame(HEADERS, END_HEADERS, 0, block(&asks("GET", "/a"))),
                wrong,
            ),
            ("DATA of none", frame(DATA, 0, 0, "x"), wrong),
            ("RST_STREAM of none", reset(0, NO_ERROR), wrong),
            ("PRIORITY of none", frame(PRIORITY, 0, 0, [0; 5]), wrong),
            (
                "a push",
                frame(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2]),
                wrong,
            ),
        ],
    )
    .await;
    host.stop().await;
}

#[tokio::test]
async fn streams_that_can_not_be_end_the_connection() {
    let host = host().await;
    let wrong: &[u32] = &[PROTOCOL_ERROR];
    let closed: &[u32] = &[PROTOCOL_ERROR, STREAM_CLOSED];
    let open = |flags| frame(HEADERS, flags, 1, block(&asks("GET", "/a")));
    let after = |frame: Vec<u8>| [open(END_STREAM), frame].concat();
    let more = |stream| frame(CONTINUATION, 0, stream, block(&[("x", "y")]));
    end_connections(
        &host,
        vec![
            ("DATA before HEADERS", frame(DATA, 0, 1, "x"), wrong),
            ("RST_STREAM before HEADERS", reset(1, NO_ERROR), wrong),
            ("WINDOW_UPDATE before HEADERS", window(1, 1), wrong),
            ("an even number", get(2, "/a"), wrong),
            (
                "a number that was passed",
                [get(5, "/c"), get(3, "/a")].concat(),
                closed,
            ),
            ("PING in a head", after(frame(PING, 0, 0, [0; 8])), wrong),
            ("DATA in a head", after(frame(DATA, 0, 1, "x")), wrong),
            ("another head in a head", after(get(3, "/a")), wrong),
            (
                "an unknown frame in a head",
                after(frame(99, 0, 1, "x")),
                wrong,
            ),
            ("CONTINUATION of another", after(more(3)), wrong),
            ("CONTINUATION of none", after(more(0)), wrong),
            ("CONTINUATION of nothing", more(1), wrong),
            (
                "CONTINUATION after the end",
                [get(1, "/c"), more(1)].concat(),
                closed,
            ),
        ],
    )
    .await;
    host.stop().await;
}

#[tokio::test]
async fn settings_and_windows_out_of_bounds_end_the_connection() {
    let host = host().await;
    let wrong: &[u32] = &[PROTOCOL_ERROR];
    let flow: &[u32] = &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR];
    let overflow_later = [
        get(1, "/c"),
        window(1, WINDOW_MAX - 65_535),
        settings(&[(INITIAL_WINDOW_SIZE, 65_536)]),
    ];
    end_connections(
        &host,
        vec![
            ("pushing twice", settings(&[(ENABLE_PUSH, 2)]), wrong),
            (
                "a window too large",
                settings(&[(INITIAL_WINDOW_SIZE, WINDOW_MAX + 1)]),
                flow,
            ),
            (
                "frames too small",
                settings(&[(MAX_FRAME_SIZE, 16_383)]),
                wrong,
            ),
            (
                "frames too large",
                settings(&[(MAX_FRAME_SIZE, 1 << 24)]),
                wrong,
            ),
            ("a window that stays", window(0, 0), wrong),
            (
                "a window past its bound",
                [window(0, WINDOW_MAX), window(0, WINDOW_MAX)].concat(),
                flow,
            ),
            (
                "a window past its bound by settings",
                overflow_later.concat(),
                flow,
            ),
        ],
    )
    .await;
    host.stop().await;
}

#[tokio::test]
async fn fields_that_can_not_be_decoded_end_the_connection() {
    let host = host().await;
    let codes: &[u32] = &[COMPRESSION_ERROR, PROTOCOL_ERROR];
    let head = |block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    end_connections(
        &host,
        vec![
            ("entry 0", head(&[0x80]), codes),
            ("an entry past the table", head(&[0xff, 0xff, 0x7f]), codes),
            (
                "a table past its bound",
                head(&[0x3f, 0xe2, 0xff, 0x7f]),
                codes,
            ),
            ("a number without end", head(&[0xff; 64]), codes),
            ("a string past the block", head(&[0x00, 0x05, b'x']), codes),
            (
                "a Huffman code past its end",
                head(&[0x00, 0x81, 0xff, 0x01, b'y']),
                codes,
            ),
            (
                "a table that changes in the middle",
                head(&[0x82, 0x20]),
                codes,
            ),
        ],
    )
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_stream_in_the_wrong_is_reset_and_the_others_go_on() {
    let host = host().await;
    let depends_on_itself = frame(PRIORITY, 0, 1, [0, 0, 0, 1, 0]);
    for (what, frames, codes) in [
        (
            "DATA after the end",
            vec![get(1, "/c"), frame(DATA, 0, 1, "x")],
            [STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        (
            "HEADERS after the end",
            vec![get(1, "/c"), get(1, "/c")],
            [STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        (
            "a window that stays",
            vec![get(1, "/c"), window(1, 0)],
            [PROTOCOL_ERROR; 2],
        ),
        (
            "a window past its bound",
            vec![get(1, "/c"), window(1, WINDOW_MAX)],
            [FLOW_CONTROL_ERROR; 2],
        ),
        (
            "a stream on itself",
            vec![get(1, "/c"), depends_on_itself],
            [PROTOCOL_ERROR; 2],
        ),
        (
            "trailers without an end",
            vec![
                post(1, "/b"),
                frame(HEADERS, END_HEADERS, 1, block(&[("x", "y")])),
            ],
            [PROTOCOL_ERROR; 2],
        ),
    ] {
        let mut connection = Frames::open(host.gateway, &[]).await;
        connection.send(frames.concat()).await;
        match connection.outcome(1).await {
            Outcome::Reset(code) => {
                assert!(codes.contains(&code), "{what}: {code}");
                connection.send(get(3, "/a")).await;
                assert_eq!(connection.status(3).await, 200, "{what}");
            }
            // A stream's error may be taken for the connection's (RFC 9113, 5.4.1).
            Outcome::Gone(Some(code)) => assert!(codes.contains(&code), "{what}: {code}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    host.works_on("c", 0).await;
    assert_eq!(host.get("/a").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn what_is_unknown_or_late_is_ignored() {
    let host = host().await;
    let mut frames = Frames::open(host.gateway, &[]).await;
    let ignored = [
        frame(99, 255, 0, [255; 100]),
        frame(99, 255, 7, []),
        settings(&[(0xff, 7), (0, 0)]),
        frame(PRIORITY, 0, 5, [0, 0, 0, 3, 7]),
        frame(PING, ACK, 0, [7; 8]),
        window(0, 1),
    ];
    frames.send(ignored.concat()).await;
    assert!(frames.answers_pings().await);
    // A stream that is over may still be told of, for a while.
    frames.send(get(1, "/a")).await;
    assert_eq!(frames.status(1).await, 200);
    frames
        .until("the end of the answer", |frame| frame.is_end())
        .await;
    frames
        .send([window(1, 7), reset(1, NO_ERROR)].concat())
        .await;
    assert!(frames.answers_pings().await);
    // A head in parts is a head.
    let fields = block(&asks("GET", "/a"));
    let (one, rest) = fields.split_at(5);
    let (two, three) = rest.split_at(5);
    let parts = [
        frame(HEADERS, END_STREAM, 7, one),
        frame(CONTINUATION, 0, 7, two),
        frame(CONTINUATION, 0, 7, []),
        frame(CONTINUATION, END_HEADERS, 7, three),
    ];
    frames.send(parts.concat()).await;
    assert_eq!(frames.status(7).await, 200);
    host.stop().await;
}

#[tokio::test]
async fn what_is_no_introduction_ends_the_connection() {
    let host = host().await;
    let no_settings = [PREFACE, &frame(PING, 0, 0, [0; 8])].concat();
    let half = [&PREFACE[..20], b"XX\r\n\r\n"].concat();
    let garbage: Vec<u8> = (0..4096_u32).map(|n| (n * 7 % 251) as u8).collect();
    for bytes in [no_settings, half, [PREFACE, &garbage].concat()] {
        let mut frames = Frames::silent(host.gateway).await;
        frames.try_send(&bytes).await;
        let code = frames.end().await;
        assert!(!matches!(code, Some(NO_ERROR)), "{code:?}");
    }
    // What does not begin as a preface does is no HTTP/2, and no HTTP/1.1 either.
    let answer = host.raw(&garbage).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(host.get("/a").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn a_body_may_be_in_any_frames_and_have_trailers() {
    let host = host().await;
    let mut frames = Frames::open(host.gateway, &[]).await;
    let body = [
        post(1, "/b"),
        frame(DATA, 0, 1, []),
        frame(DATA, PADDED, 1, [&[3][..], b"abc", &[0; 3]].concat()),
        frame(DATA, 0, 1, "de"),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            block(&[("x-sum", "7")]),
        ),
    ];
    frames.send(body.concat()).await;
    assert_eq!(frames.status(1).await, 200);
    let data = frames.until("the answer", |frame| frame.kind == DATA).await;
    assert!(data.payload.starts_with(b"5 "), "{data:?}");
    host.stop().await;
}

#[tokio::test]
async fn who_is_silent_is_told_which_requests_were_the_last_and_may_still_ask_one() {
    let host = Host::with("a", guest("hello"))
        .settings("[timeouts]\nheader = \"1s\"\nidle = \"1s\"\n")
        .start()
        .await;
    let mut frames = Frames::open(host.gateway, &[]).await;
    frames.send(headers(1, &asks("GET", "/a"))).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    let first = frames.until("GOAWAY", |frame| frame.kind == GOAWAY).await;
    assert_eq!((first.code(), first.last_stream()), (NO_ERROR, WINDOW_MAX));
    // Sent before the client could know.
    frames.send(headers(3, &asks("GET", "/a"))).await;
    assert_eq!(frames.outcome(3).await, Outcome::Status(200));
    assert!(matches!(frames.end().await, None | Some(NO_ERROR)));
    assert_eq!(host.ended_by("silent").await, 1.0);
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_ends_says_so_and_finishes_what_it_has_begun() {
    let host = host().await;
    let mut frames = Frames::open(host.gateway, &[]).await;
    frames.send(post(1, "/b")).await;
    host.works_on("b", 1).await;
    host.signal(rustix::process::Signal::TERM);
    let first = frames.until("GOAWAY", |frame| frame.kind == GOAWAY).await;
    assert_eq!((first.code(), first.last_stream()), (NO_ERROR, WINDOW_MAX));
    // The host asks for a sign that the client has read it, and then says which stream was the last.
    let ping = frames.until("PING", |frame| frame.kind == PING).await;
    frames.send(frame(PING, ACK, 0, &ping.payload)).await;
    let last = frames.until("GOAWAY", |frame| frame.kind == GOAWAY).await;
    assert_eq!((last.code(), last.last_stream()), (NO_ERROR, 1));
    frames.send(headers(3, &asks("GET", "/a"))).await;
    frames.send(frame(DATA, END_STREAM, 1, "abc")).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    assert_eq!(frames.outcome(3).await, Outcome::Gone(None));
    host.ended().await;
}
