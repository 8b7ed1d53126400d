//! Recursion without end ends its request with 502; the host's stack is not the guest's.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_stack_overflow_fails_its_request_alone() {
    let host = beside_victim("stack_overflow", "").start().await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 502, "guest_trapped").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
