//! Ten thousand headers are more than the host keeps for a guest: 502.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn ten_thousand_headers_fail_their_request_alone() {
    let host = beside_victim("many_headers", "").start().await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 502, "guest_out_of_memory").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
