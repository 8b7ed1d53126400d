//! A guest that prints without end is not held up, and the log takes no more of it than its bounds.

use crate::support::log::Line;
use crate::support::rogue::beside_victim;

/// Bytes of a guest's line that reach the log, and what the event around them may take.
const LINE_BYTES_MAX: usize = 4096 + 512;
/// Lines of a revision in each second.
const LINES_PER_SECOND: usize = 200;

#[tokio::test]
async fn what_a_guest_prints_is_logged_within_bounds() {
    let host = beside_victim("stdout_flood", "").start().await;
    let answer = host.provoke().await;
    assert_eq!((answer.status(), answer.text()), (200, "printed\n"));
    let took = host.logged(&answer).await.field("duration_ms");
    let seconds = took.parse::<f64>().unwrap() / 1e3;

    let printed = host
        .log
        .all(|line| line.target() == "skep::guest" && !line.field("stream").is_empty());
    for stream in ["stdout", "stderr"] {
        let of_stream = |line: &&std::sync::Arc<Line>| line.field("stream") == stream;
        let first = printed
            .iter()
            .find(of_stream)
            .expect("both streams are logged");
        assert!(first.message().starts_with("xxxx"), "{}", first.text());
    }
    for line in &printed {
        assert!(
            line.text().len() <= LINE_BYTES_MAX,
            "{} bytes",
            line.text().len()
        );
        assert_eq!(
            (line.field("service"), line.field("revision")),
            ("rogue".into(), "1".into())
        );
    }
    let windows = seconds as usize + 2;
    assert!(
        printed.len() <= LINES_PER_SECOND * windows,
        "{} lines in {seconds} s",
        printed.len()
    );
    host.assert_recovers().await;
    host.stop().await;
}
