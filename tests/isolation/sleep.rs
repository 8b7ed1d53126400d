//! A guest that sleeps for ever is stopped at its wall-clock limit: 504.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn an_endless_sleep_is_stopped_at_its_timeout() {
    let host = beside_victim("sleep", "[limits]\ntimeout = \"300ms\"\ncpu = \"100ms\"\n")
        .start()
        .await;
    for _ in 0..2 {
        let answer = host.provoke().await;
        host.assert_fault(&answer, 504, "wall_deadline").await;
    }
    host.assert_recovers().await;
    host.stop().await;
}
