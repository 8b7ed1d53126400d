//! A body longer than was promised is cut before the promise is broken; nothing of it passes for another answer.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_body_longer_than_promised_is_cut() {
    let host = beside_victim("wrong_length_long", "").start().await;
    let answer = host.provoke().await;
    host.assert_cut(&answer, "invalid_response").await;
    assert_eq!(answer.header("content-length"), Some("3"));
    assert!(answer.bytes().len() < 3, "{answer:?}");

    let answer = host.provoke_h2().await;
    host.assert_cut(&answer, "invalid_response").await;
    host.assert_recovers().await;
    host.stop().await;
}
