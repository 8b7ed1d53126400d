//! Clients that speak WebSocket: one that is right, and one that says every byte itself.

use std::net::SocketAddr;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::client;
use super::host::Host;
use super::wait::{until, within};

/// What is refused: the answer to a handshake.
pub(crate) type Refused = Response<Option<Vec<u8>>>;

/// A WebSocket.
#[derive(Debug)]
pub(crate) struct Socket<S = TcpStream> {
    stream: WebSocketStream<S>,
    /// The answer that made it one.
    pub(crate) head: Response<Option<Vec<u8>>>,
}

/// Waits until service `a` has so many.
pub(crate) async fn until_there_are(host: &Host, count: f64) {
    until("connections to come or end", async || {
        let labels = [("service", "a")];
        let open = host.metric("skep_websocket_connections", &labels).await;
        (open == Some(count)).then_some(())
    })
    .await;
}

/// The request for one at this path.
pub(crate) fn handshake(address: SocketAddr, path: &str) -> Request<()> {
    let url = format!("ws://{address}{path}");
    url.into_client_request().unwrap()
}

impl Socket {
    /// At this path; the host must agree.
    pub(crate) async fn open(host: &Host, path: &str) -> Self {
        let asked = Self::ask(host, handshake(host.gateway, path)).await;
        asked.unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// With these headers.
    pub(crate) async fn with(
        host: &Host,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let mut request = handshake(host.gateway, path);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().append(*name, value);
        }
        Self::ask(host, request).await
    }

    /// # Errors
    /// The answer, if it is another one.
    pub(crate) async fn ask(host: &Host, request: Request<()>) -> Result<Self, Refused> {
        let stream = client::connect(host.gateway).await;
        Self::on(stream, request).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// On this connection.
    ///
    /// # Errors
    /// The answer, if it is another one.
    pub(crate) async fn on(stream: S, request: Request<()>) -> Result<Self, Refused> {
        let asked = within("a handshake", client_async(request, stream)).await;
        match asked {
            Ok((stream, head)) => Ok(Self { stream, head }),
            Err(Error::Http(refused)) => Err(*refused),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// A server's side of one.
    pub(crate) async fn of_server(stream: S) -> Self {
        Self {
            stream: WebSocketStream::from_raw_socket(stream, Role::Server, None).await,
            head: Response::new(None),
        }
    }

    pub(crate) async fn send(&mut self, message: impl Into<Message>) {
        let sent = within("a message to be sent", self.stream.send(message.into())).await;
        sent.unwrap();
    }

    /// The next message; pings are answered and forgotten.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            let next = within("a message", self.stream.next()).await;
            match next.expect("the connection has not ended").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The next message, which is a text.
    pub(crate) async fn text(&mut self) -> String {
        let message = self.next().await;
        assert!(matches!(message, Message::Text(_)), "{message:?}");
        message.into_text().unwrap().to_string()
    }

    /// What comes back for a text.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        self.send(text).await;
        self.text().await
    }

    /// Its id, which the probe tells.
    pub(crate) async fn id(&mut self) -> String {
        self.says("id").await
    }

    /// The code that the host closes with. The connection must end then.
    pub(crate) async fn closed(self) -> u16 {
        self.closed_perhaps_with().await.expect("a code")
    }

    /// The code that the host closes with, if it gives one.
    pub(crate) async fn closed_perhaps_with(mut self) -> Option<u16> {
        let message = self.next().await;
        let Message::Close(frame) = message else {
            panic!("{message:?} closes nothing");
        };
        let end = within("the connection to end", self.stream.next()).await;
        assert!(end.is_none(), "{end:?}");
        frame.map(|frame| frame.code.into())
    }

    /// Hangs up without a word.
    pub(crate) async fn break_off(self) {
        let mut stream = self.stream.into_inner();
        drop(stream.shutdown().await);
    }

    /// For sending and reading at once.
    pub(crate) fn halves(
        self,
    ) -> (
        SplitSink<WebSocketStream<S>, Message>,
        SplitStream<WebSocketStream<S>>,
    ) {
        self.stream.split()
    }

    /// Closes with a code and waits for the host to agree.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "enough".into(),
        };
        self.send(Message::Close(Some(frame))).await;
        assert_eq!(self.closed().await, code);
    }
}

/// A WebSocket on which a test says every byte.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    taken: Vec<u8>,
}

/// The first byte of a frame that is whole: a text, bytes, a close, a ping, a pong; and of one that goes on.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
pub(crate) const TEXT_BEGINS: u8 = 0x01;
pub(crate) const GOES_ON: u8 = 0x00;
pub(crate) const ENDS: u8 = 0x80;

/// A frame as clients send it: masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut bytes = head(first, payload.len() as u64, true);
    bytes.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The beginning of a frame, up to the mask.
pub(crate) fn head(first: u8, length: u64, is_masked: bool) -> Vec<u8> {
    let mask = if is_masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(mask | length as u8),
        126..65_536 => {
            bytes.push(mask | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

impl Raw {
    /// At this path; the host must agree.
    pub(crate) async fn open(host: &Host, path: &str) -> Self {
        let mut raw = Self {
            stream: host.tcp().await,
            taken: Vec::new(),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        raw.send(request).await;
        while !raw.taken.ends_with(b"\r\n\r\n") {
            assert!(raw.read().await, "the connection ended in the handshake");
        }
        let answer = String::from_utf8(std::mem::take(&mut raw.taken)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let proof = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert!(answer.contains(proof), "{answer}");
        raw
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes).await);
    }

    /// False if the connection takes no more.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = within("bytes to be sent", self.stream.write_all(bytes.as_ref())).await;
        sent.is_ok()
    }

    async fn read(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.taken);
        matches!(within("bytes", read).await, Ok(1..))
    }

    /// The next frame's first byte and what is in it. None if the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((length, begin)) = self.length()
                && self.taken.len() >= begin + length
            {
                let rest = self.taken.split_off(begin + length);
                let taken = std::mem::replace(&mut self.taken, rest);
                return Some((taken[0], taken[begin..].to_vec()));
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// The length of the next frame's content, and where it begins.
    fn length(&self) -> Option<(usize, usize)> {
        let taken = &self.taken;
        match *taken.get(1)? {
            126 => {
                let bytes = taken.get(2..4)?.try_into().unwrap();
                Some((u16::from_be_bytes(bytes).into(), 4))
            }
            127 => {
                let bytes = taken.get(2..10)?.try_into().unwrap();
                Some((u64::from_be_bytes(bytes) as usize, 10))
            }
            length => Some((length.into(), 2)),
        }
    }

    /// The code that the host closes with, whatever it says before. None if it says nothing and hangs up.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            let (first, payload) = self.frame().await?;
            if first == CLOSE {
                let code = payload.first_chunk();
                return Some(u16::from_be_bytes(*code.unwrap()));
            }
        }
    }

    /// Waits until the host hangs up.
    pub(crate) async fn ended(mut self) {
        while self.read().await {}
    }
}
