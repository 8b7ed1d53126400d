//! A body without end is cut at the CPU limit; when its reader leaves, the guest is stopped at once.

use crate::support::client::get;
use crate::support::rogue::beside_victim;

#[tokio::test]
async fn an_endless_body_is_cut_at_the_cpu_limit() {
    let manifest = "[limits]\ncpu = \"100ms\"\ntimeout = \"50s\"\n";
    let host = beside_victim("endless_body", manifest).start().await;
    let answer = host.provoke().await;
    host.assert_cut(&answer, "cpu_deadline").await;
    assert!(answer.bytes().len() > 1 << 20, "{answer:?}");
    host.assert_recovers().await;
    host.stop().await;
}

#[tokio::test]
async fn a_guest_whose_reader_leaves_is_stopped() {
    // One at a time, so that the second request waits until the first guest is gone: that takes no limit's time.
    let manifest = "[limits]\nconcurrency = 1\ncpu = \"50s\"\ntimeout = \"50s\"\n";
    let host = beside_victim("endless_body", manifest).start().await;
    for _ in 0..3 {
        let mut reply = host.open(get("/rogue")).await;
        assert_eq!(reply.head.status.as_u16(), 200);
        assert!(
            reply
                .chunk()
                .await
                .is_some_and(|chunk| chunk.starts_with(b"xxxx"))
        );
        drop(reply);
    }
    let gone = host
        .log_line("a reader that left", |line| {
            line.field("cause") == "caller_gone"
        })
        .await;
    assert_eq!(
        (gone.field("service"), gone.field("blame")),
        ("rogue".into(), "caller".into())
    );
    host.assert_recovers().await;
    host.stop().await;
}
