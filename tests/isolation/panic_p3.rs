//! A panic in an instance that serves several requests fails those inside it and no others; the next instance serves.

use crate::support::rogue::beside_victim;

/// An instance that computes for long gets no more requests, and on a busy machine any may: how often it is tried to
/// have two requests in one.
const TRIES: u32 = 20;

#[tokio::test]
async fn a_panic_fails_what_shares_its_instance() {
    let host = beside_victim("panic_p3", "").start().await;
    // Requests of one connection share instances; elsewhere there may be others.
    let mut connection = host.connect_h2().await;
    for _ in 0..TRIES {
        let mut beside = connection.beside();
        let inside = tokio::spawn(async move { beside.get("/rogue?ms=2000").await });
        host.works_on("rogue", 1).await;
        let panicked = host
            .while_victim_serves(connection.get("/rogue/panic"))
            .await;
        host.assert_fault(&panicked, 502, "guest_trapped").await;
        let answer = inside.await.unwrap();
        // In an instance that takes the place of the one that is gone.
        let next = host.provoke().await;
        assert_eq!((next.status(), next.text()), (200, "answered\n"));
        if answer.status() == 502 {
            host.assert_fault(&answer, 502, "guest_trapped").await;
            host.assert_recovers().await;
            host.stop().await;
            return;
        }
        assert_eq!((answer.status(), answer.text()), (200, "answered\n"));
    }
    panic!("no two requests were in one instance");
}

#[tokio::test]
async fn a_panic_spares_what_is_in_other_instances() {
    let manifest = "[instances]\nconcurrency = 1\n";
    let host = beside_victim("panic_p3", manifest).start().await;
    let other = host.begin("/rogue?ms=500").await;
    host.works_on("rogue", 1).await;
    let panicked = host.get("/rogue/panic").await;
    host.assert_fault(&panicked, 502, "guest_trapped").await;
    let answer = other.finish().await;
    assert_eq!((answer.status(), answer.text()), (200, "answered\n"));
    host.stop().await;
}
