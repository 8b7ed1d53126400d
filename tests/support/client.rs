//! Clients: HTTP/1.1 and HTTP/2 on connections of a test's own.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use http::{Request, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{Answer, Reply};
use super::tls;
use super::wait::within;

/// What curl, with these arguments, has to say. Panics if it fails.
pub(crate) async fn curl(arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*"])
        .args(arguments);
    let output = within("curl", curl.output()).await;
    let output = output.expect("curl, which `cargo xtask setup` installs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a request carries.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().boxed_unsync()
}

/// A body of known length.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body that is sent as the test goes on, and ends when the sender is dropped.
pub(crate) fn streamed() -> (Upload, Body) {
    let (sender, frames) = mpsc::channel(0);
    (
        Upload(sender),
        StreamBody::new(frames.map(Ok)).boxed_unsync(),
    )
}

/// The sending end of a body.
#[derive(Debug)]
pub(crate) struct Upload(mpsc::Sender<Frame<Bytes>>);

impl Upload {
    /// Sends a part once the connection has taken the one before; false if it takes no more.
    pub(crate) async fn send(&mut self, bytes: impl Into<Bytes>) -> bool {
        self.frame(Frame::data(bytes.into())).await
    }

    /// Sends any frame, trailers say.
    pub(crate) async fn frame(&mut self, frame: Frame<Bytes>) -> bool {
        within("a connection to take a part of a body", self.0.send(frame))
            .await
            .is_ok()
    }
}

/// `GET path`.
pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(empty()).unwrap()
}

/// A connection that is kept alive.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    authority: String,
    /// None if it is another's.
    driver: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    /// HTTP/1.1.
    pub(crate) async fn http1(address: SocketAddr) -> Self {
        Self::http1_on(connect(address).await, address).await
    }

    /// HTTP/1.1 from another address of this machine.
    pub(crate) async fn http1_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let stream = within("a connection", socket.connect(address)).await;
        Self::http1_on(stream.unwrap(), address).await
    }

    /// Of the version that both sides agreed on.
    pub(crate) async fn tls(stream: tls::Stream, address: SocketAddr) -> Self {
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => {
                let builder = http2::Builder::new(TokioExecutor::new());
                Self::http2_on(stream, address, &builder).await
            }
            _ => Self::http1_on(stream, address).await,
        }
    }

    async fn http1_on<S>(stream: S, address: SocketAddr) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = http1::handshake(TokioIo::new(stream));
        let (sender, driver) = within("HTTP/1.1", handshake).await.unwrap();
        // An error of the connection is the answers' to report.
        let driver = tokio::spawn(async move { drop(driver.await) });
        Self::new(Sender::Http1(sender), address, driver)
    }

    /// HTTP/2 with prior knowledge.
    pub(crate) async fn http2(address: SocketAddr) -> Self {
        Self::http2_by(address, &http2::Builder::new(TokioExecutor::new())).await
    }

    /// HTTP/2 whose streams take so many bytes before the test reads them.
    pub(crate) async fn http2_with_window(address: SocketAddr, bytes: u32) -> Self {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        Self::http2_by(address, builder.initial_stream_window_size(bytes)).await
    }

    async fn http2_by(address: SocketAddr, builder: &http2::Builder<TokioExecutor>) -> Self {
        Self::http2_on(connect(address).await, address, builder).await
    }

    async fn http2_on<S>(
        stream: S,
        address: SocketAddr,
        builder: &http2::Builder<TokioExecutor>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = builder.handshake(TokioIo::new(stream));
        let (sender, driver) = within("HTTP/2", handshake).await.unwrap();
        // As above.
        let driver = tokio::spawn(async move { drop(driver.await) });
        Self::new(Sender::Http2(sender), address, driver)
    }

    fn new(sender: Sender, address: SocketAddr, driver: tokio::task::JoinHandle<()>) -> Self {
        let driver = Some(AbortOnDropHandle::new(driver));
        Self {
            sender,
            authority: address.to_string(),
            driver,
        }
    }

    /// The same HTTP/2 connection, for requests that go on side by side. To be dropped first.
    pub(crate) fn beside(&self) -> Self {
        let Sender::Http2(sender) = &self.sender else {
            panic!("HTTP/1.1 has one request at a time");
        };
        Self {
            sender: Sender::Http2(sender.clone()),
            authority: self.authority.clone(),
            driver: None,
        }
    }

    /// Sends a request whose target is a path; resolves when the answer's head is there.
    ///
    /// # Errors
    /// When the connection ends before that.
    pub(crate) async fn open(&mut self, mut request: Request<Body>) -> hyper::Result<Reply> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                let host = self.authority.parse().unwrap();
                request
                    .headers_mut()
                    .entry(http::header::HOST)
                    .or_insert(host);
                within("a connection to be free", sender.ready()).await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                let (mut head, body) = request.into_parts();
                let host = head.headers.remove(http::header::HOST);
                let authority = host
                    .as_ref()
                    .map_or(&*self.authority, |host| host.to_str().unwrap());
                let url = format!("http://{authority}{}", head.uri);
                head.uri = url.parse().unwrap();
                head.version = Version::HTTP_2;
                within("a connection to be free", sender.ready()).await?;
                sender.send_request(Request::from_parts(head, body)).await
            }
        };
        response.map(Reply::new)
    }

    /// Sends a request and takes the whole answer.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Answer {
        let what = format!("an answer to {} {}", request.method(), request.uri());
        let reply = within(&what, self.open(request)).await;
        reply
            .unwrap_or_else(|error| panic!("{what}: {error:?}"))
            .finish()
            .await
    }

    /// `GET path`.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(get(path)).await
    }

    /// Waits until the connection has ended.
    pub(crate) async fn ended(self) {
        within("a connection to end", self.driver.unwrap())
            .await
            .unwrap();
    }

    /// Sends the connection's only request.
    pub(crate) async fn once(mut self, request: Request<Body>) -> Reply {
        let what = format!(
            "the head of an answer to {} {}",
            request.method(),
            request.uri()
        );
        let reply = within(&what, self.open(request)).await;
        let mut reply = reply.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        reply.connection = self.driver;
        reply
    }
}

/// A connection without a client on it.
pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    let stream = within("a connection", TcpStream::connect(address))
        .await
        .unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
