//! A guest that makes the host keep ever more small things for it ends with 502.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn small_resources_without_end_fail_their_request_alone() {
    let host = beside_victim("memory_many", "").start().await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 502, "guest_out_of_memory").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
