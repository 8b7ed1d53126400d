//! A guest reaches what its manifest allows, and nothing else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Host, probe};

/// A server elsewhere: what it was asked, and how it answers, is the same each time.
struct Elsewhere {
    origin: String,
    _server: AbortOnDropHandle<()>,
}

impl Elsewhere {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&head);
                let line = text.lines().next().unwrap_or_default();
                let answer = format!(
                    "HTTP/1.1 203 Fine\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{line}",
                    line.len()
                );
                // A guest that hangs up is the test's business.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self {
            origin,
            _server: AbortOnDropHandle::new(server),
        }
    }
}

fn allowing(origin: &str) -> String {
    format!("[allow]\nhosts = [{origin:?}]\n")
}

#[tokio::test]
async fn an_allowed_host_is_reached() {
    let elsewhere = Elsewhere::start().await;
    let host = Host::with("a", probe("fetch"))
        .manifest("a", &allowing(&elsewhere.origin))
        .start()
        .await;
    for _ in 0..2 {
        let answer = host
            .get(&format!("/a?url={}/path?x=1", elsewhere.origin))
            .await;
        assert_eq!(answer.status(), 203, "{answer:?}");
        assert_eq!(answer.text(), "GET /path?x=1 HTTP/1.1");
    }
    host.stop().await;
}

#[tokio::test]
async fn any_other_host_is_denied_and_the_log_says_what_to_do() {
    let (elsewhere, allowed) = (Elsewhere::start().await, Elsewhere::start().await);
    for manifest in [
        "".to_owned(),
        allowing(&allowed.origin),
        allowing("https://*.example.com"),
    ] {
        let host = Host::with("a", probe("fetch"))
            .manifest("a", &manifest)
            .start()
            .await;
        let answer = host.get(&format!("/a?url={}/", elsewhere.origin)).await;
        assert_eq!(answer.status(), 502, "{answer:?}");
        let error = answer.header("x-fetch-error").unwrap();
        assert!(error.contains("HttpRequestDenied"), "{error}");
        let line = host
            .log_line("the denial", |line| line.target() == "skep::egress")
            .await;
        assert_eq!(line.level(), "WARN");
        assert_eq!(line.field("service"), "a");
        let advice = format!(
            "add {:?} to hosts under [allow] in the manifest of a",
            elsewhere.origin
        );
        assert!(line.message().contains(&advice), "{}", line.text());
        host.stop().await;
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_is_an_error_of_the_guests_to_handle() {
    let gone = Elsewhere::start().await.origin;
    let host = Host::with("a", probe("fetch"))
        .manifest("a", &allowing(&gone))
        .start()
        .await;
    let answer = host.get(&format!("/a?url={gone}/")).await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    let error = answer.header("x-fetch-error").unwrap();
    assert!(error.contains("ConnectionRefused"), "{error}");
    host.stop().await;
}
