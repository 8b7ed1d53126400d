//! A body that is shorter than was promised is cut, also where its end is there before the head has left.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_short_body_whose_end_comes_at_once_is_cut() {
    let host = beside_victim("wrong_length_p3", "").start().await;
    let answer = host.provoke().await;
    host.assert_cut(&answer, "invalid_response").await;
    assert_eq!(answer.header("content-length"), Some("5"));

    let answer = host.provoke_h2().await;
    host.assert_cut(&answer, "invalid_response").await;
    host.assert_recovers().await;
    host.stop().await;
}
