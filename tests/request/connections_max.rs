//! No more connections are served at a time than the settings say; the next one waits until another has gone.

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::wait::{until, within};
use crate::support::{Host, client, guest};

const MAX: usize = 2;
/// Requests on each of the others in whose time the next connection would have been served as well.
const ROUNDS: usize = 20;
/// Connections at once; no more than the system surely queues.
const MANY: usize = 50;

#[tokio::test]
async fn one_connection_too_many_is_served_once_another_has_gone() {
    let host = Host::with("a", guest("hello"))
        .settings(&format!("[connections]\nmax = {MAX}\n"))
        .start()
        .await;
    let mut served = Vec::new();
    for _ in 0..MAX {
        let mut connection = host.connect().await;
        assert_eq!(connection.get("/a").await.status(), 200);
        served.push(connection);
    }
    let next = host.begin("/a").await;
    for _ in 0..ROUNDS {
        for connection in &mut served {
            assert_eq!(connection.get("/a").await.status(), 200);
        }
        assert!(!next.is_over(), "{} connections are served", MAX + 1);
    }
    let open = host.metric("skep_connections", &[]).await;
    assert_eq!(open, Some(MAX as f64));
    drop(served.pop());
    assert_eq!(next.finish().await.status(), 200);
    assert_eq!(served[0].get("/a").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn a_listener_that_waits_keeps_no_place_from_another() {
    let host = Host::with("a", guest("hello"))
        .settings("[connections]\nmax = 1\n")
        .flag("--tls-listen=127.0.0.1:0")
        .flag("--tls-self-signed")
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(host.get("/a").await.status(), 200);
        // What is no handshake is an end, as soon as somebody looks at it.
        let mut other = client::connect(host.tls[0]).await;
        other.write_all(b"no TLS\r\n\r\n").await.unwrap();
        let mut end = Vec::new();
        drop(within("the other listener", other.read_to_end(&mut end)).await);
    }
    host.stop().await;
}

#[tokio::test]
async fn however_many_come_all_are_served_in_their_turn() {
    let host = Host::with("a", guest("hello"))
        .settings(&format!("[connections]\nmax = {MAX}\n"))
        .start()
        .await;
    let before = host.resident();
    let idle = [host.connect().await, host.connect().await];
    until("both to be accepted", async || {
        let open = host.metric("skep_connections", &[]).await;
        (open == Some(MAX as f64)).then_some(())
    })
    .await;
    let waiting = join_all((0..MANY).map(|_| host.begin("/a"))).await;
    assert!(waiting.iter().all(|request| !request.is_over()));
    assert_eq!(host.admin("/healthz").await.status(), 200);
    drop(idle);
    for request in waiting {
        assert_eq!(request.finish().await.status(), 200);
    }
    let more = host.resident().saturating_sub(before);
    assert!(more < 32 << 20, "{} MiB more", more >> 20);
    let limited = host.metric("skep_connections_limited_total", &[]).await;
    assert!(limited.unwrap() >= 1.0);
    let taken = host.metric("skep_connections_total", &[]).await;
    assert_eq!(taken, Some((MANY + MAX) as f64));
    host.stop().await;
}
