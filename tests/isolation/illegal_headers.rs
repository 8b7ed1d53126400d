//! Headers that are not a guest's to send are refused to it one by one, and none reaches a client.

use crate::support::rogue::beside_victim;

const ILLEGAL: u32 = 14;
/// Of an answer that names no header itself: what the host and the protocol put there.
const OWN: [&str; 3] = ["date", "content-length", "x-request-id"];

#[tokio::test]
async fn illegal_headers_are_refused_to_the_guest_and_reach_no_client() {
    let host = beside_victim("illegal_headers", "").start().await;
    let answer = host.provoke().await;
    assert_eq!(answer.status(), 500, "the guest's own: {answer:?}");
    assert_eq!(
        answer.text().matches("refused ").count(),
        ILLEGAL as usize,
        "{answer:?}"
    );
    for name in answer.headers().keys() {
        assert!(OWN.contains(&name.as_str()), "{answer:?}");
    }
    let line = host.logged(&answer).await;
    assert_eq!(
        line.field("cause"),
        "",
        "an answer of 500 is an answer: {}",
        line.text()
    );
    host.assert_recovers().await;
    host.stop().await;
}
