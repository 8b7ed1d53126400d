//! A revision has so many requests outside at a time and no more, however many instances it has; the others wait.

use std::net::SocketAddr;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::wait::within;
use crate::support::{Host, guest, probe};

const AT_ONCE_MAX: usize = 256;
/// As many as make more than that, when each has as many requests as one instance may have under way.
const INSTANCES: usize = 5;
const OF_EACH: usize = 64;
const _: () = assert!(INSTANCES * OF_EACH > AT_ONCE_MAX);
/// Requests to another service in whose time one more would have been sent.
const ROUNDS: usize = 20;

#[tokio::test]
async fn requests_of_one_revision_wait_for_each_other() {
    let (target, mut asked) = patient_server().await;
    let manifest = format!("[limits]\ntimeout = \"60s\"\n[allow]\nhosts = [\"http://{target}\"]\n");
    let host = Host::with("a", probe("fetch_many"))
        .manifest("a", &manifest)
        .and("b", guest("hello"))
        .start()
        .await;
    let path = format!("/a?url=http://{target}/&times={OF_EACH}");
    let guests = join_all((0..INSTANCES).map(|_| host.begin(&path))).await;
    let mut held = Vec::new();
    for _ in 0..AT_ONCE_MAX {
        held.push(within("a request outside", asked.next()).await.unwrap());
    }
    for left in (0..INSTANCES * OF_EACH - AT_ONCE_MAX).rev() {
        for _ in 0..ROUNDS {
            assert_eq!(host.get("/b").await.status(), 200);
        }
        assert!(asked.try_recv().is_err(), "more than {AT_ONCE_MAX}");
        // One that is answered makes room for one.
        held.swap_remove(left % held.len()).send(()).unwrap();
        held.push(within("the next request", asked.next()).await.unwrap());
    }
    drop(held);
    for guest in guests {
        assert_eq!(guest.finish().await.text(), format!("{OF_EACH} answered\n"));
    }
    host.stop().await;
}

/// A server that tells of each request, and answers it once the test sends or drops what it was told by.
async fn patient_server() -> (SocketAddr, mpsc::UnboundedReceiver<oneshot::Sender<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, asked) = mpsc::unbounded();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let (answer, told) = oneshot::channel();
                        // A test that is over wants no more.
                        drop(tell.unbounded_send(answer));
                        told.await.ok();
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        drop(stream.write_all(answer).await);
                    }
                }
            });
        }
    });
    (address, asked)
}
