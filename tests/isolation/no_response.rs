//! A guest that returns without a response has its request answered with 502.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_guest_without_a_response_fails_its_request_alone() {
    let host = beside_victim("no_response", "").start().await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 502, "no_response").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
