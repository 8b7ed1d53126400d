//! A guest that traps before anything of its answer has left is answered for: with a fault's status, not with a cut.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_trap_before_anything_is_out_is_answered_with_its_fault() {
    let host = beside_victim("short_then_trap", "").start().await;
    for answer in [host.provoke().await, host.provoke_h2().await] {
        host.assert_fault(&answer, 502, "guest_trapped").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
