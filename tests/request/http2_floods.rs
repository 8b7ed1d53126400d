//! What costs a client little is not to cost the host much: floods over HTTP/2 end, or go on without harm. Meanwhile others
//! are served, no guests pile up, and memory stays bounded.

use crate::support::frames::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, HEADERS,
    INITIAL_WINDOW_SIZE, Outcome, PING, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, asks, block,
    frame, get, headers, post, reset, settings, window,
};
use crate::support::wait::until;
use crate::support::{Host, fault, guest, probe};

/// What a flood may have the host hold, beside what it has when it begins.
const MEMORY_MAX: u64 = 64 << 20;
/// Streams that a connection may have.
const STREAMS_MAX: u32 = 128;
/// Bytes of a flood that the host takes as it comes.
const FLOOD_BYTES: usize = 4 << 20;

/// A frame that is wrong for a stream.
type Provocation<'a> = &'a dyn Fn(u32) -> Vec<u8>;

/// A host with `a`, which answers, `b`, which reads a body, and `c`, which never answers.
async fn host() -> Host {
    let patient = "[limits]\ntimeout = \"600s\"\nconcurrency = 64\nqueue = 1000\n";
    let host = Host::with("a", guest("hello"))
        .and("b", probe("upload"))
        .manifest("b", patient)
        .and("c", fault("sleep"))
        .manifest("c", patient)
        .settings("[log]\nrequests = false\n")
        .start()
        .await;
    // Everything that is made once is made.
    host.serves_others("/a").await;
    host
}

/// Sees that others are served and that not much more is held than `before`.
async fn is_well(host: &Host, before: u64) {
    host.serves_others("/a").await;
    let more = host.resident().saturating_sub(before);
    assert!(more < MEMORY_MAX, "{} MiB more", more >> 20);
}

/// The odd numbers from `first` on.
fn streams(first: u32, count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |at| first + 2 * at)
}

#[tokio::test]
async fn heads_without_end_are_refused() {
    let host = host().await;
    let before = host.resident();
    let begun = |block: &[u8]| frame(HEADERS, END_STREAM, 1, block);
    let fields = block(&[("x", &"y".repeat(15_000))]);
    // A string of 256 MiB, of which ever more comes.
    let endless = [
        &[0, 1, b'x', 0x7f, 0x81, 0xff, 0xff, 0x7f][..],
        &[b'y'; 1000],
    ]
    .concat();
    for (what, first, more) in [
        ("large parts", block(&asks("GET", "/a")), fields.as_slice()),
        ("empty parts", block(&asks("GET", "/a")), &[]),
        ("one string", endless, &[b'y'; 16_000][..]),
    ] {
        let mut frames = Frames::open(host.gateway, &[]).await;
        frames.send(begun(&first)).await;
        let part = frame(CONTINUATION, 0, 1, more);
        let mut sent = 0;
        while frames.try_send(&part).await {
            sent += part.len();
            assert!(
                sent < FLOOD_BYTES,
                "{what}: the head is taken for as long as it comes"
            );
        }
        let code = frames.end().await;
        assert!(code.is_none_or(|code| code != 0), "{what}: {code:?}");
    }
    is_well(&host, before).await;
    host.stop().await;
}

#[tokio::test]
async fn small_heads_that_become_large_are_refused() {
    let host = host().await;
    let before = host.resident();
    // An entry of 4000 bytes for the table; each byte that follows stands for it.
    let value = "v".repeat(4000);
    let mut entry = block(&asks("GET", "/a"));
    entry.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    entry.extend(value.as_bytes());
    for (count, outcomes) in [
        (10, &[Outcome::Status(200)][..]),
        (40, &[Outcome::Status(431)]),
        (
            10_000,
            &[Outcome::Gone(Some(ENHANCE_YOUR_CALM)), Outcome::Status(431)],
        ),
    ] {
        let mut frames = Frames::open(host.gateway, &[]).await;
        let bomb = [&entry[..], &vec![0xbe; count]].concat();
        frames
            .send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb))
            .await;
        let outcome = frames.outcome(1).await;
        assert!(outcomes.contains(&outcome), "{count}: {outcome:?}");
    }
    // A head that is large from the beginning.
    let mut frames = Frames::open(host.gateway, &[]).await;
    let large = block(&[asks("GET", "/a"), vec![("x", &"y".repeat(65_536))]].concat());
    let (first, rest) = large.split_at(16_000);
    let mut bytes = frame(HEADERS, END_STREAM, 1, first);
    let mut parts = rest.chunks(16_000).peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_none() {
            END_HEADERS
        } else {
            0
        };
        bytes.extend(frame(CONTINUATION, flags, 1, part));
    }
    frames.send(bytes).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(431));
    // The table that the entry is in may shrink and grow, as often as one likes.
    let mut frames = Frames::open(host.gateway, &[]).await;
    for stream in streams(1, 100) {
        let resized = [&[0x20, 0x3f, 0xe1, 0x1f][..], &block(&asks("GET", "/a"))].concat();
        frames
            .send(frame(HEADERS, END_HEADERS | END_STREAM, stream, resized))
            .await;
        assert_eq!(frames.status(stream).await, 200);
    }
    is_well(&host, before).await;
    host.stop().await;
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_are_not_begun() {
    let host = host().await;
    let before = host.resident();
    let mut frames = Frames::open(host.gateway, &[]).await;
    let mut next = 1;
    let mut batches = 0;
    loop {
        let batch =
            streams(next, 100).flat_map(|stream| [get(stream, "/c"), reset(stream, CANCEL)]);
        if !frames.try_send(batch.flatten().collect::<Vec<_>>()).await {
            break;
        }
        (next, batches) = (next + 200, batches + 1);
        assert!(
            batches < 1000,
            "100000 requests are taken back and nobody minds"
        );
    }
    assert!(matches!(frames.end().await, None | Some(ENHANCE_YOUR_CALM)));
    host.works_on("c", 0).await;
    host.queues("c", 0).await;
    is_well(&host, before).await;
    host.stop().await;
}

#[tokio::test]
async fn requests_that_are_taken_back_when_they_have_begun_end_the_connection() {
    const RESETS_MAX: u32 = 500;
    let host = host().await;
    let before = host.resident();
    let mut frames = Frames::open(host.gateway, &[]).await;
    let mut count = 0;
    for stream in streams(1, 20 * RESETS_MAX) {
        // The host has taken the request when it answers the ping.
        if !frames.try_send(get(stream, "/c")).await || !frames.answers_pings().await {
            break;
        }
        count += 1;
        frames.try_send(reset(stream, CANCEL)).await;
        if count % 100 == 0 && count <= RESETS_MAX {
            host.serves_others("/a").await;
        }
    }
    assert!(
        (RESETS_MAX..2 * RESETS_MAX).contains(&count),
        "{count} requests"
    );
    until("the reason to be counted", async || {
        (host.ended_by("resets").await == 1.0).then_some(())
    })
    .await;
    host.works_on("c", 0).await;
    is_well(&host, before).await;
    // Who takes back many, but fewer than it lets be, is served on.
    let mut frames = Frames::open(host.gateway, &[]).await;
    for stream in streams(1, 4 * RESETS_MAX) {
        if stream % 6 == 1 {
            frames.send(get(stream, "/c")).await;
            frames.send(reset(stream, CANCEL)).await;
        } else {
            frames.send(get(stream, "/a")).await;
            assert_eq!(frames.status(stream).await, 200);
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_has_the_host_take_back_its_requests_is_let_go() {
    let host = host().await;
    let before = host.resident();
    let on_itself = |stream: u32| {
        frame(
            PRIORITY,
            0,
            stream,
            [&stream.to_be_bytes()[..], &[0]].concat(),
        )
    };
    let provocations: [(&str, Provocation<'_>); 4] = [
        ("a window that stays", &|stream| window(stream, 0)),
        ("a window past its bound", &|stream| {
            window(stream, 0x7fff_ffff)
        }),
        ("a stream on itself", &on_itself),
        ("another head", &|stream| get(stream, "/c")),
    ];
    for (what, provoke) in provocations {
        let mut frames = Frames::open(host.gateway, &[]).await;
        let mut count = 0;
        for stream in streams(1, 2000) {
            let pair = [get(stream, "/c"), provoke(stream)].concat();
            if !frames.try_send(pair).await || !frames.answers_pings().await {
                break;
            }
            count += 1;
        }
        assert!(count < 1000, "{what}: {count} times");
        host.works_on("c", 0).await;
    }
    is_well(&host, before).await;
    host.stop().await;
}

/// Frames that a client may send as often as it likes.
fn idle_frames() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("SETTINGS", settings(&[(INITIAL_WINDOW_SIZE, 65_535)])),
        ("SETTINGS acknowledged", frame(4, ACK, 0, [])),
        ("PING", frame(PING, 0, 0, [7; 8])),
        ("PRIORITY", frame(PRIORITY, 0, 9, [0, 0, 0, 3, 1])),
        ("WINDOW_UPDATE", window(1, 1)),
        ("empty DATA", frame(DATA, 0, 1, [])),
        ("small DATA", frame(DATA, 0, 1, "x")),
        ("unknown", frame(77, 0, 0, [0; 50])),
    ]
}

#[tokio::test]
async fn frames_that_say_nothing_hold_nobody_up() {
    let host = host().await;
    let before = host.resident();
    for (what, frame) in idle_frames() {
        let mut frames = Frames::open(host.gateway, &[]).await;
        frames.send(post(1, "/b")).await;
        let many = frame.repeat((64 << 10) / frame.len());
        let mut sent = 0;
        while sent < FLOOD_BYTES && frames.try_send(&many).await {
            sent += many.len();
            if sent % (1 << 20) < many.len() {
                host.serves_others("/a").await;
            }
        }
        // Either the host has had enough, or all is as before.
        if sent >= FLOOD_BYTES && frames.answers_pings().await {
            println!("{what}: {sent} bytes are taken");
        } else {
            let code = frames.end().await;
            println!("{what}: refused after {sent} bytes: {code:?}");
            assert!(code.is_none_or(|code| code != 0), "{what}: {code:?}");
        }
    }
    is_well(&host, before).await;
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_for_answers_and_does_not_read_them_is_held_up_itself() {
    let host = host().await;
    let before = host.resident();
    let mut all = Vec::new();
    for (what, frame) in idle_frames().into_iter().take(3) {
        let mut frames = Frames::deaf(host.gateway, &[]).await;
        frames.send(post(1, "/b")).await;
        let many = frame.repeat((64 << 10) / frame.len());
        // More than both sides' sockets hold: the host stops reading, or answers nothing.
        let flood = tokio::spawn(async move {
            let mut sent = 0;
            while sent < 8 * FLOOD_BYTES && frames.write_soon(&many).await {
                sent += many.len();
            }
            (frames, sent)
        });
        host.serves_others("/a").await;
        let (frames, sent) = flood.await.unwrap();
        println!("{what}: {sent} bytes are taken");
        is_well(&host, before).await;
        all.push(frames);
    }
    is_well(&host, before).await;
    drop(all);
    host.stop().await;
}

#[tokio::test]
async fn more_streams_than_may_be_are_refused_and_cost_nothing() {
    let host = host().await;
    let before = host.resident();
    let mut frames = Frames::open(host.gateway, &[]).await;
    let heads: Vec<u8> = streams(1, STREAMS_MAX)
        .flat_map(|stream| get(stream, "/c"))
        .collect();
    frames.send(heads).await;
    host.works_on("c", 64).await;
    host.queues("c", STREAMS_MAX - 64).await;
    let next = 1 + 2 * STREAMS_MAX;
    for stream in streams(next, 3) {
        frames.send(get(stream, "/a")).await;
        assert_eq!(frames.outcome(stream).await, Outcome::Reset(REFUSED_STREAM));
    }
    // One that is over makes room for another.
    frames
        .send([reset(1, CANCEL), get(next + 6, "/a")].concat())
        .await;
    assert_eq!(frames.outcome(next + 6).await, Outcome::Status(200));
    // Who goes on is told to calm down.
    let mut count = 0;
    for stream in streams(next + 8, 10_000) {
        if !frames.try_send(get(stream, "/a")).await {
            break;
        }
        count += 1;
    }
    println!("{count} streams too many are taken");
    is_well(&host, before).await;
    drop(frames);
    host.works_on("c", 0).await;
    host.queues("c", 0).await;
    host.stop().await;
}

#[tokio::test]
async fn a_head_that_is_malformed_again_and_again_reaches_nobody() {
    let host = host().await;
    let before = host.resident();
    let mut frames = Frames::open(host.gateway, &[]).await;
    let fields = [asks("GET", "/c"), vec![("connection", "close")]].concat();
    let mut count = 0;
    for stream in streams(1, 5000) {
        if !frames.try_send(headers(stream, &fields)).await {
            break;
        }
        match frames.outcome(stream).await {
            Outcome::Reset(code) => assert_eq!(code, PROTOCOL_ERROR),
            Outcome::Gone(_) => break,
            status @ Outcome::Status(_) => panic!("{status:?}"),
        }
        count += 1;
    }
    assert!(count < 1000, "{count} times");
    host.works_on("c", 0).await;
    is_well(&host, before).await;
    host.stop().await;
}
