//! A server that is no service of the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A server elsewhere that never answers the same twice.
pub(crate) struct Elsewhere {
    pub(crate) authority: String,
    answers: Arc<AtomicU32>,
    _server: AbortOnDropHandle<()>,
}

impl Elsewhere {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let answers = Arc::new(AtomicU32::new(0));
        let counted = answers.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let body = format!("answer {:04}\n", counted.fetch_add(1, SeqCst));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                );
                // A guest that hangs up is the test's business.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self {
            authority,
            answers,
            _server: AbortOnDropHandle::new(server),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/path?x=1", self.authority)
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u32 {
        self.answers.load(SeqCst)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.authority)
    }
}
