//! Random bytes come in small pieces: the host makes none of a call for more, which would hold up its thread, and ends
//! the request with 502.

use crate::support::rogue::beside_victim;

const BYTES_MAX: u64 = 64 << 10;

#[tokio::test]
async fn a_call_for_too_many_random_bytes_fails_its_request_alone() {
    let host = beside_victim("random_bytes", "").start().await;
    for sort in ["secure", "insecure"] {
        let path = |bytes: u64| format!("/rogue?bytes={bytes}&sort={sort}");
        let most = host.get(&path(BYTES_MAX)).await;
        assert_eq!(most.text(), format!("{BYTES_MAX} bytes\n"));
        for bytes in [BYTES_MAX + 1, 1 << 30, u64::MAX] {
            let answer = host.while_victim_serves(host.get(&path(bytes))).await;
            let line = host.assert_fault(&answer, 502, "guest_trapped").await;
            let detail = line.field("detail");
            assert!(detail.contains("exceeds limit"), "{detail}");
        }
    }
    host.assert_recovers().await;
    host.stop().await;
}
