//! A guest that takes all the memory it may have ends with 502; the host's memory does not grow with it.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn memory_without_end_fails_its_request_alone() {
    let host = beside_victim("memory_growth", "").start().await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 502, "guest_out_of_memory").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
