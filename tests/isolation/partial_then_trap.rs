//! A trap in the middle of an answer cuts it: the connection is closed, or the stream reset.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_trap_in_the_middle_of_an_answer_cuts_it() {
    let host = beside_victim("partial_then_trap", "").start().await;
    let answer = host.provoke().await;
    host.assert_cut(&answer, "guest_trapped").await;
    assert!(answer.bytes().starts_with(b"xxxx"), "{answer:?}");

    // Only the stream: the connection's other requests go on.
    let mut connection = host.connect_h2().await;
    let answer = connection.get("/rogue").await;
    host.assert_cut(&answer, "guest_trapped").await;
    let how = answer.cut.as_deref().unwrap();
    assert!(how.contains("stream error"), "{how}");
    assert_eq!(connection.get("/victim").await.status(), 200);
    host.assert_recovers().await;
    host.stop().await;
}
