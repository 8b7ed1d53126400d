//! Clients that open their windows and do not read, or shut them: what waits for them is bounded, and others are served.

use crate::support::frames::{
    DATA, END_HEADERS, Frames, HEADERS, INITIAL_WINDOW_SIZE, Outcome, asks, block, frame, get,
    post, window,
};
use crate::support::wait::until;
use crate::support::{Host, fault, guest, probe};

const STREAMS: u32 = 128;
const WINDOW_MAX: u32 = 0x7fff_ffff;
/// Of one answer, what may wait, and as much again for what guests and sockets hold of it.
const OF_STREAM_MAX: u64 = 256 << 10;
const ANSWER_BYTES: usize = 3_000_000;

async fn host(name: &str, wasm: std::path::PathBuf) -> Host {
    let patient = "[limits]\ntimeout = \"600s\"\ncpu = \"600s\"\nconcurrency = 200\nqueue = 200\n";
    let host = Host::with("a", guest("hello"))
        .and(name, wasm)
        .manifest(name, patient)
        .settings("[log]\nrequests = false\n")
        .start()
        .await;
    host.serves_others("/a").await;
    host
}

fn all(request: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..STREAMS).flat_map(|at| request(1 + 2 * at)).collect()
}

fn bounded(host: &Host, before: u64, most: u64) {
    let more = host.resident().saturating_sub(before);
    assert!(more < most, "{} MiB more", more >> 20);
}

#[tokio::test]
async fn large_answers_wait_at_their_guests_while_windows_are_shut() {
    let host = host("b", probe("framing")).await;
    let before = host.resident();
    let mut frames = Frames::open(host.gateway, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let path = format!("/b?bytes={ANSWER_BYTES}");
    frames.send(all(|stream| get(stream, &path))).await;
    for _ in 0..STREAMS {
        let head = frames.until("a head", |frame| frame.kind == HEADERS).await;
        assert_eq!(head.status(), 200);
    }
    host.works_on("b", STREAMS).await;
    host.serves_others("/a").await;
    // What a guest holds of its answer is its own memory.
    let held = host
        .metric("skep_guest_memory_bytes", &[("service", "b")])
        .await;
    let held = held.unwrap() as u64;
    bounded(&host, before, held + u64::from(STREAMS) * OF_STREAM_MAX);
    // Whoever opens its window gets its answer whole.
    frames
        .send([window(0, WINDOW_MAX - 65_535), window(1, WINDOW_MAX)].concat())
        .await;
    let mut bytes = 0;
    while bytes < ANSWER_BYTES {
        let data = frames.until("the answer", |frame| frame.kind == DATA).await;
        assert_eq!(data.stream, 1);
        bytes += data.payload.len();
    }
    assert_eq!(bytes, ANSWER_BYTES);
    drop(frames);
    host.works_on("b", 0).await;
    host.stop().await;
}

#[tokio::test]
async fn answers_without_end_wait_where_nobody_reads() {
    let host = host("b", fault("endless_body")).await;
    let before = host.resident();
    let mut frames = Frames::deaf(host.gateway, &[(INITIAL_WINDOW_SIZE, WINDOW_MAX)]).await;
    frames.send(window(0, WINDOW_MAX - 65_535)).await;
    frames.send(all(|stream| get(stream, "/b"))).await;
    host.works_on("b", STREAMS).await;
    // Once what is held does not grow, the guests wait.
    let mut last = 0;
    until("the guests to wait", async || {
        host.serves_others("/a").await;
        let now = host.resident();
        let is_still = now <= last + (1 << 20);
        last = now;
        is_still.then_some(())
    })
    .await;
    let held = host
        .metric("skep_guest_memory_bytes", &[("service", "b")])
        .await;
    let held = held.unwrap() as u64;
    bounded(&host, before, held + u64::from(STREAMS) * OF_STREAM_MAX);
    drop(frames);
    host.works_on("b", 0).await;
    host.stop().await;
}

#[tokio::test]
async fn what_codes_an_answer_goes_when_that_is_given_up() {
    let coded = "[limits]\nconcurrency = 200\n[edge.compression]\ncodings = [\"zstd\"]\n";
    let host = Host::with("a", guest("hello"))
        .and("b", guest("echo"))
        .manifest("b", coded)
        .settings("[timeouts]\nbody_idle = \"1s\"\n[log]\nrequests = false\n")
        .start()
        .await;
    host.serves_others("/a").await;
    let before = host.resident();
    let mut frames = Frames::open(host.gateway, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let more = [("accept-encoding", "zstd"), ("content-type", "text/plain")];
    let head = block(&[&asks("POST", "/b")[..], &more].concat());
    // More could follow, so that the coding has not ended when the first of it waits for the window.
    let begin = |stream| {
        let head = frame(HEADERS, END_HEADERS, stream, &head);
        [head, frame(DATA, 0, stream, "x")].concat()
    };
    frames.send(all(begin)).await;
    for _ in 0..STREAMS {
        let head = frames.until("a head", |frame| frame.kind == HEADERS).await;
        assert_eq!(head.status(), 200);
    }
    host.works_on("b", 0).await;
    // The streams are still there, and each has had an encoder of more than this.
    until("the encoders to go", async || {
        let more = host.resident().saturating_sub(before);
        (more < u64::from(STREAMS) * OF_STREAM_MAX).then_some(())
    })
    .await;
    assert!(frames.answers_pings().await);
    host.stop().await;
}

#[tokio::test]
async fn bodies_wait_at_their_client_while_guests_do_not_read() {
    // What it is sent it sends back, and nobody takes that.
    let host = host("b", probe("pipe")).await;
    let before = host.resident();
    let mut frames = Frames::open(host.gateway, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    frames.send(post(1, "/b")).await;
    host.works_on("b", 1).await;
    // As much as the host allows one stream, and no more is asked for.
    let part = frame(DATA, 0, 1, [0; 16_000]);
    for _ in 0..(256 << 10) / 16_000 {
        frames.send(&part).await;
    }
    assert!(frames.answers_pings().await);
    // Others on the same connection are not held up by it.
    let whole = [post(3, "/a"), frame(DATA, 1, 3, [0; 16_000])].concat();
    frames.send(whole).await;
    assert_eq!(frames.outcome(3).await, Outcome::Status(200));
    // What is sent beyond it is refused.
    for _ in 0..16 {
        frames.try_send(&part).await;
    }
    let outcome = frames.after_head(1).await;
    assert!(
        matches!(outcome, Outcome::Reset(3) | Outcome::Gone(Some(3))),
        "{outcome:?}"
    );
    bounded(&host, before, 16 << 20);
    host.serves_others("/a").await;
    drop(frames);
    host.stop().await;
}
