//! A body that its guest never finished is cut, so that it can't pass for whole.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_body_that_is_never_finished_is_cut() {
    let host = beside_victim("unfinished_body", "").start().await;
    let answer = host.provoke().await;
    host.assert_cut(&answer, "invalid_response").await;
    assert_eq!(answer.bytes(), b"half of what I wanted to s");

    let answer = host.provoke_h2().await;
    host.assert_cut(&answer, "invalid_response").await;
    host.assert_recovers().await;
    host.stop().await;
}
