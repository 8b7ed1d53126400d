//! A panic of a guest ends its request with 502.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_guests_panic_fails_its_request_alone() {
    let host = beside_victim("unreachable", "").start().await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 502, "guest_trapped").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
