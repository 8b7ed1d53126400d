//! Handshakes that come to nothing hold nobody up, and not for long.

use futures::future::join_all;
use tokio::io::AsyncReadExt;

use crate::support::client::connect;
use crate::support::tls::{Authority, handshakes};
use crate::support::wait::{until, within};
use crate::support::{Host, guest};

const NAME: &str = "shop.example";
/// Connections that say nothing, at once.
const SILENT: usize = 500;
const AT_ONCE: usize = 50;

/// The beginning of a ClientHello: a record of 512 bytes of which a few have come.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0];

async fn host(authority: &Authority, timeouts: &str) -> Host {
    let pair = authority.issue(&[NAME]);
    Host::with("a", guest("hello"))
        .file("0.pem", &pair.pem)
        .file("0.key", pair.key.serialize_pem())
        .settings(
            "[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = [{ cert = \"0.pem\", key = \"0.key\" }]\n",
        )
        .settings(timeouts)
        .start()
        .await
}

#[tokio::test]
async fn a_handshake_must_be_over_in_time() {
    let authority = Authority::new();
    let host = host(&authority, "[timeouts]\nheader = \"300ms\"\n").await;
    for begun in [&b""[..], HALF_A_HELLO] {
        let mut stream = connect(host.tls[0]).await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, begun)
            .await
            .unwrap();
        let mut rest = Vec::new();
        let closed = stream.read_to_end(&mut rest);
        drop(within("the host to close the connection", closed).await);
    }
    handshakes(&host, "timed_out", 2).await;
    // A handshake is no request: its head must come in time, too.
    let mut stream = authority.trusting().shake(host.tls[0], NAME).await.unwrap();
    let closed = stream.read_u8();
    within("the host to close the connection", closed)
        .await
        .unwrap_err();
    host.stop().await;
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_at_once() {
    let authority = Authority::new();
    let host = host(&authority, "[timeouts]\nheader = \"1h\"\n").await;
    let request = b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n";
    for garbage in [
        &request[..],
        &[0; 64],
        &[255; 4096],
        &[22, 3, 1, 0, 0],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = connect(host.tls[0]).await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, garbage)
            .await
            .unwrap();
        let mut rest = Vec::new();
        let closed = stream.read_to_end(&mut rest);
        drop(within("the host to close the connection", closed).await);
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
    handshakes(&host, "failed", 5).await;
    drop(connect(host.tls[0]).await);
    handshakes(&host, "disconnected", 1).await;
    // Somebody who trusts another authority says so and goes.
    let stranger = Authority::new().trusting();
    stranger.shake(host.tls[0], NAME).await.unwrap_err();
    handshakes(&host, "failed", 6).await;
    let mut connection = authority.trusting().connect(host.tls[0], NAME).await;
    assert_eq!(connection.get("/a").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn many_that_say_nothing_hold_nobody_up() {
    let authority = Authority::new();
    let host = host(&authority, "[timeouts]\nheader = \"1h\"\n").await;
    let mut silent = Vec::new();
    while silent.len() < SILENT {
        // No more at once than the system surely queues: of the others it might keep nothing but a cookie.
        silent.extend(join_all((0..AT_ONCE).map(|_| connect(host.tls[0]))).await);
        until("all of them to be accepted", async || {
            let open = host.metric("skep_connections", &[]).await.unwrap();
            (open >= silent.len() as f64).then_some(())
        })
        .await;
    }
    let client = authority.trusting().offering(&["h2"]);
    for _ in 0..5 {
        let mut connection = client.connect(host.tls[0], NAME).await;
        assert_eq!(connection.get("/a").await.status(), 200);
    }
    assert_eq!(host.get("/a").await.status(), 200);
    // The end does not wait for them either.
    let setup = host.stop().await;
    drop((silent, setup));
}
