//! What a guest does after its answer is bounded by its request's limits, and does not harm the answer.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_loop_after_the_answer_is_stopped_and_the_answer_is_whole() {
    let manifest = "[limits]\ncpu = \"100ms\"\ntimeout = \"50s\"\n";
    let host = beside_victim("endless_background", manifest).start().await;
    for faults in 1..=2 {
        let answer = host.provoke().await;
        assert_eq!((answer.status(), answer.text()), (200, "answered\n"));
        assert_eq!(host.logged(&answer).await.field("cause"), "");
        let late = host
            .while_victim_serves(host.late_faults("rogue", faults))
            .await;
        let last = late.last().unwrap();
        assert_eq!(last.field("cause"), "cpu_deadline", "{}", last.text());
        assert_eq!(last.field("blame"), "guest", "{}", last.text());
    }
    host.assert_recovers().await;
    host.stop().await;
}

#[tokio::test]
async fn a_sleep_after_the_answer_lasts_no_longer_than_a_request_may() {
    // The CPU limit is out of reach: it is the timeout that ends the loop.
    let manifest = "[limits]\ncpu = \"50s\"\ntimeout = \"300ms\"\n";
    let host = beside_victim("endless_background", manifest).start().await;
    let answer = host.provoke().await;
    assert_eq!((answer.status(), answer.text()), (200, "answered\n"));
    let stopped = host.log_line("the instance stopped", |line| {
        line.says("instance stopped", "rogue")
    });
    host.while_victim_serves(stopped).await;
    host.assert_recovers().await;
    host.stop().await;
}
