//! A connection on which a test says every byte itself.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wait::within;

/// A connection for bytes, well-formed or not.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    taken: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        let taken = Vec::new();
        Self { stream, taken }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("bytes to be sent", self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap();
    }

    /// Sends bytes; false if the connection takes no more.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = within("bytes to be sent", self.stream.write_all(bytes.as_ref())).await;
        sent.is_ok()
    }

    /// Takes what comes up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self
                .taken
                .windows(end.len())
                .position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.taken.split_off(at + end.len());
                let taken = std::mem::replace(&mut self.taken, rest);
                return String::from_utf8_lossy(&taken).into_owned();
            }
            let what = format!("{end:?} after {:?}", String::from_utf8_lossy(&self.taken));
            let read = within(&what, self.stream.read_buf(&mut self.taken)).await;
            assert!(
                matches!(read, Ok(1..)),
                "the connection ended before {what}"
            );
        }
    }

    /// Takes the head of an answer, interim ones included.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Takes what comes until the host closes the connection; a reset closes it as well.
    pub(crate) async fn rest(mut self) -> String {
        let what = "the host to close the connection";
        drop(within(what, self.stream.read_to_end(&mut self.taken)).await);
        String::from_utf8_lossy(&self.taken).into_owned()
    }
}
