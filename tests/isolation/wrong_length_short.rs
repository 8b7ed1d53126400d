//! A body shorter than was promised is cut, so that it can't pass for whole.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_body_shorter_than_promised_is_cut() {
    let host = beside_victim("wrong_length_short", "").start().await;
    let answer = host.provoke().await;
    host.assert_cut(&answer, "invalid_response").await;
    assert_eq!(answer.header("content-length"), Some("1000"));
    assert_eq!(answer.bytes(), b"a body of twenty-six bytes");

    let answer = host.provoke_h2().await;
    host.assert_cut(&answer, "invalid_response").await;
    host.assert_recovers().await;
    host.stop().await;
}
