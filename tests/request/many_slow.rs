//! Many slow clients at once, over plain connections and TLS: each is let go in its time, nobody else waits for them, they
//! cost a bounded part of memory, and the host says how their connections ended.

use futures::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::client::connect;
use crate::support::tls::Authority;
use crate::support::wait::{until, within};
use crate::support::{Host, fault, guest, probe};

const NAME: &str = "shop.example";
/// No more than the system surely queues.
const CLIENTS: usize = 50;
/// What one of them may have the host hold.
const MEMORY_MAX: u64 = 1 << 20;
const HASTE: &str = "[timeouts]\nheader = \"1s\"\nbody_idle = \"1s\"\nidle = \"1s\"\n";
const PATIENT: &str =
    "[limits]\ntimeout = \"600s\"\ncpu = \"600s\"\nconcurrency = 100\nqueue = 100\n";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A host with `a`, which answers at once, and `b`, and how to connect to it.
struct Scene {
    host: Host,
    authority: Authority,
}

impl Scene {
    async fn of(b: std::path::PathBuf) -> Self {
        let authority = Authority::new();
        let pair = authority.issue(&[NAME]);
        let tls = "[tls]\nlisten = \"127.0.0.1:0\"\ncertificate = [{ cert = \"0.pem\", key = \"0.key\" }]\n";
        let host = Host::with("a", guest("hello"))
            .and("b", b)
            .manifest("b", PATIENT)
            .file("0.pem", &pair.pem)
            .file("0.key", pair.key.serialize_pem())
            .settings(tls)
            .settings(HASTE)
            .start()
            .await;
        host.serves_others("/a").await;
        Self { host, authority }
    }

    /// Clients that have all said the same.
    async fn clients(&self, over_tls: bool, said: &str) -> Vec<Box<dyn Stream>> {
        let client = async || {
            let mut stream: Box<dyn Stream> = if over_tls {
                let address = self.host.tls[0];
                Box::new(
                    self.authority
                        .trusting()
                        .shake(address, NAME)
                        .await
                        .unwrap(),
                )
            } else {
                Box::new(connect(self.host.gateway).await)
            };
            within("bytes to be sent", stream.write_all(said.as_bytes()))
                .await
                .unwrap();
            within("bytes to be sent", stream.flush()).await.unwrap();
            stream
        };
        join_all((0..CLIENTS).map(|_| client())).await
    }

    /// Waits until so many more connections than `before` have ended for this reason.
    async fn ended(&self, reason: &str, before: f64, count: usize) {
        until(&format!("{count} connections to be {reason}"), async || {
            let more = self.host.ended_by(reason).await - before;
            (more >= count as f64).then_some(())
        })
        .await;
    }
}

/// Takes what comes until the host closes the connection.
async fn rest(mut stream: Box<dyn Stream>) -> String {
    let mut bytes = Vec::new();
    let closed = stream.read_to_end(&mut bytes);
    // A reset closes it as well.
    drop(within("the host to close a connection", closed).await);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn heads_that_do_not_come_are_not_waited_for() {
    let scene = Scene::of(guest("hello")).await;
    for over_tls in [false, true] {
        let (before, silent) = (scene.host.resident(), scene.host.ended_by("silent").await);
        let clients = scene
            .clients(over_tls, "GET /b HTTP/1.1\r\nHost: here\r\n")
            .await;
        scene.host.serves_others("/a").await;
        let more = scene.host.resident().saturating_sub(before);
        assert!(
            more < CLIENTS as u64 * MEMORY_MAX,
            "{} KiB more",
            more >> 10
        );
        for answer in join_all(clients.into_iter().map(rest)).await {
            assert_eq!(answer, "");
        }
        scene.ended("silent", silent, CLIENTS).await;
    }
    scene.host.stop().await;
}

#[tokio::test]
async fn bodies_that_do_not_come_are_not_waited_for() {
    let scene = Scene::of(probe("upload")).await;
    for over_tls in [false, true] {
        let begun = "POST /b HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nbegins";
        let clients = scene.clients(over_tls, begun).await;
        scene.host.serves_others("/a").await;
        for answer in join_all(clients.into_iter().map(rest)).await {
            assert!(answer.starts_with("HTTP/1.1 408"), "{answer:?}");
        }
        scene.host.works_on("b", 0).await;
    }
    scene.host.stop().await;
}

#[tokio::test]
async fn answers_that_are_not_read_are_given_up() {
    let scene = Scene::of(fault("endless_body")).await;
    for over_tls in [false, true] {
        let (before, unread) = (scene.host.resident(), scene.host.ended_by("unread").await);
        let request = "GET /b HTTP/1.1\r\nHost: here\r\n\r\n";
        let clients = scene.clients(over_tls, request).await;
        scene.host.serves_others("/a").await;
        let more = scene.host.resident().saturating_sub(before);
        // Their guests' own memory among it.
        assert!(
            more < 4 * CLIENTS as u64 * MEMORY_MAX,
            "{} KiB more",
            more >> 10
        );
        scene.ended("unread", unread, CLIENTS).await;
        scene.host.works_on("b", 0).await;
        drop(clients);
    }
    scene.host.stop().await;
}

#[tokio::test]
async fn clients_that_are_gone_are_not_worked_for() {
    let scene = Scene::of(fault("sleep")).await;
    for over_tls in [false, true] {
        let request = "GET /b HTTP/1.1\r\nHost: here\r\n\r\n";
        let clients = scene.clients(over_tls, request).await;
        scene.host.works_on("b", CLIENTS as u32).await;
        drop(clients);
        scene.host.works_on("b", 0).await;
        scene.host.serves_others("/a").await;
    }
    let open = scene.host.metric("skep_connections", &[]).await.unwrap();
    assert!(open < CLIENTS as f64, "{open} connections are still open");
    let taken = scene
        .host
        .metric("skep_connections_total", &[])
        .await
        .unwrap();
    assert!(
        taken >= 2.0 * CLIENTS as f64,
        "{taken} connections were taken"
    );
    scene.host.stop().await;
}

#[tokio::test]
async fn what_is_no_http_is_counted_as_that() {
    let scene = Scene::of(guest("hello")).await;
    let clients = scene.clients(false, "\0\0\0\r\n\r\n").await;
    for answer in join_all(clients.into_iter().map(rest)).await {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer:?}");
    }
    scene.ended("malformed", 0.0, CLIENTS).await;
    for stream in scene
        .clients(
            true,
            "GET /a HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
        )
        .await
    {
        assert!(rest(stream).await.starts_with("HTTP/1.1 200"));
    }
    scene.ended("closed", 0.0, CLIENTS).await;
    scene.host.stop().await;
}
