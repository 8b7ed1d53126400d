//! Ten thousand outgoing requests at once are more than the host keeps for a guest; the few that are under way at a
//! time are bounded, and the denied ones don't fill the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::rogue::beside_victim;

const LIMITS: &str = "[limits]\ncpu = \"5s\"\ntimeout = \"50s\"\n";
/// Requests that one instance may have under way, and as many that are not quite gone when they are replaced.
const AT_ONCE_MAX: u32 = 2 * 64;
const LOG_LINES_MAX: usize = 20;

#[tokio::test]
async fn denied_requests_without_number_fail_their_request_alone() {
    let host = beside_victim("many_requests", LIMITS).start().await;
    let answer = host.provoke().await;
    host.assert_fault(&answer, 502, "guest_out_of_memory").await;
    let denials = host.log.all(|line| line.target() == "skep::egress");
    assert!(
        (1..LOG_LINES_MAX).contains(&denials.len()),
        "{} lines",
        denials.len()
    );
    assert!(
        denials[0].message().contains("[allow]"),
        "says what to do: {}",
        denials[0].text()
    );
    host.assert_recovers().await;
    host.stop().await;
}

#[tokio::test]
async fn allowed_requests_are_bounded_in_number_at_a_time() {
    let (target, most) = silent_server().await;
    let manifest = format!(
        "{LIMITS}[env]\nTARGET = \"http://{target}/\"\n[allow]\nhosts = [\"http://{target}\"]\n"
    );
    let host = beside_victim("many_requests", &manifest).start().await;
    let answer = host.provoke().await;
    host.assert_fault(&answer, 502, "guest_out_of_memory").await;
    // It may be over before the first of them is connected.
    let most = most.load(SeqCst);
    assert!(most <= AT_ONCE_MAX, "{most} connections");
    host.assert_recovers().await;
    host.stop().await;
}

/// A server that never answers, and the most connections that it has had at a time.
async fn silent_server() -> (std::net::SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let most_of_all = most.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let open = open.clone();
            most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                open.fetch_sub(1, SeqCst);
            });
        }
    });
    (address, most_of_all)
}
