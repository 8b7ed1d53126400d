//! A guest may fill the memory it is allowed, again and again, in a fresh instance each time.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_guest_may_fill_its_memory() {
    let host = beside_victim("fill_memory", "").start().await;
    for _ in 0..10 {
        let answer = host.provoke().await;
        assert_eq!((answer.status(), answer.text()), (200, "filled\n"));
    }
    host.stop().await;
}

#[tokio::test]
async fn a_guest_that_fills_more_than_it_is_allowed_fails() {
    let manifest = "[limits]\nmemory = \"2MiB\"\n";
    let host = beside_victim("fill_memory", manifest).start().await;
    let answer = host.provoke().await;
    host.assert_fault(&answer, 502, "guest_out_of_memory").await;
    host.stop().await;
}
