//! A guest that looks through all of its memory finds what it left there itself, and nothing else.

use crate::support::rogue::beside_victim;

#[tokio::test]
async fn a_guest_finds_its_own_words_and_no_others() {
    let host = beside_victim("find_memory", "").start().await;
    let planted = host.get("/rogue?plant").await;
    assert!(planted.text().starts_with("found 512 of "), "{planted:?}");
    let answer = host.provoke().await;
    assert!(answer.text().starts_with("found 0 of "), "{answer:?}");
    host.stop().await;
}
