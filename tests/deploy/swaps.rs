//! Under constant load, 200 swaps lose no request, of the swapped service or of another, and mix no two revisions.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::support::answer::Answer;
use crate::support::load::{Check, Load};
use crate::support::wait::until;
use crate::support::{Host, guest, probe};

const SWAPS: u64 = 200;
/// Requests a second to each service: what a debug build answers on a machine that does other work too.
const RATE: u32 = 400;
/// Requests a second whose answers take longer than from one swap to the next.
const LONG_RATE: u32 = 20;
const LINE_BYTES: usize = 16;

static FROM_A: AtomicU64 = AtomicU64::new(0);
static FROM_B: AtomicU64 = AtomicU64::new(0);

#[tokio::test]
async fn two_hundred_swaps_under_load_lose_no_request() {
    let host = Host::with("a", probe("revision_a"))
        .and("b", guest("hello"))
        .start()
        .await;
    let began = std::time::Instant::now();
    let load =
        |path, rate, check: Check| (path, rate, Load::steady(host.gateway, path, rate, check));
    let loads = [
        load("/a?lines=16", RATE, from_one_revision),
        load("/a?lines=1024", LONG_RATE, from_one_revision),
        load("/b", RATE, hello),
    ];

    for swap in 1..=SWAPS {
        let next = [("revision_a", &FROM_A), ("revision_b", &FROM_B)];
        let (next, answers) = next[usize::from(swap % 2 == 1)];
        host.deploy("a", probe(next));
        host.promoted("a", swap + 1).await;
        // Swaps come faster than requests.
        let before = answers.load(Relaxed);
        let more = async || (answers.load(Relaxed) > before).then_some(());
        until("an answer of the new revision", more).await;
    }

    let took = began.elapsed();
    for (path, rate, load) in loads {
        let figures = load.stop();
        assert_eq!(figures.errors, Vec::<String>::new(), "of {path}");
        let (answered, p99) = (figures.durations.len(), figures.p99());
        println!("{path}: {answered} answers during {SWAPS} swaps in {took:?}, p99 {p99:?}");
        // A host that falls behind is slow, which is not what is tested; one that hardly answers proves nothing.
        let due = took.as_secs() * u64::from(rate);
        assert!(
            answered as u64 * 2 > due,
            "{answered} of {due} requests of {path} were answered"
        );
    }

    let what = "every revision but the last to be retired";
    host.nth_line(what, SWAPS as usize, |line| {
        line.says("revision retired", "a")
    })
    .await;
    assert_eq!(host.told("revision retired", "a"), SWAPS as usize);
    let cut = host.log.all(|line| !line.field("late").is_empty());
    assert!(cut.is_empty(), "no request was late: {cut:?}");
    host.stop().await;
}

/// The status, the header and every line tell of the same revision, and no line is missing.
fn from_one_revision(answer: &Answer) -> Result<(), String> {
    let revision = answer.header("x-revision").unwrap_or_default();
    let count = match revision {
        "a" => &FROM_A,
        "b" => &FROM_B,
        _ => return Err(format!("of no revision: {answer:?}")),
    };
    let line = format!("{revision:>width$}\n", width = LINE_BYTES - 1);
    let lines = answer
        .header("x-lines")
        .and_then(|lines| lines.parse().ok());
    let is_whole = answer.status() == 200
        && answer.cut.is_none()
        && lines.is_some_and(|lines| answer.bytes() == line.repeat(lines).as_bytes());
    count.fetch_add(1, Relaxed);
    is_whole.then_some(()).ok_or_else(|| format!("{answer:?}"))
}

fn hello(answer: &Answer) -> Result<(), String> {
    let is_whole = answer.status() == 200
        && answer.cut.is_none()
        && answer.bytes() == b"Hello from hello revision 1: GET /\n";
    is_whole.then_some(()).ok_or_else(|| format!("{answer:?}"))
}
