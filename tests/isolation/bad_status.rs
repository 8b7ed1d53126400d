//! A status that no answer has is the guest's fault: 502.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_status_that_is_no_answer_is_not_sent() {
    let host = beside_victim("bad_status", "").start().await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 502, "invalid_response").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
