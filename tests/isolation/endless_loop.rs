//! A guest that computes for ever is stopped at its CPU limit: 504.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn an_endless_loop_is_stopped_at_its_cpu_limit() {
    let host = beside_victim(
        "endless_loop",
        "[limits]\ncpu = \"100ms\"\ntimeout = \"50s\"\n",
    )
    .start()
    .await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 504, "cpu_deadline").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
