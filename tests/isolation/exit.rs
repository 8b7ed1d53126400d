//! A guest that ends its program ends its request with 502, and not the host.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn an_exit_fails_its_request_alone() {
    let host = beside_victim("exit", "").start().await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 502, "no_response").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
