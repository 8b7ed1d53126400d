//! A server elsewhere that speaks WebSocket.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::client::{Body, empty};
use super::host::Host;
use super::setup::Setup;
use super::tls::Pair;
use super::upstream::Upstream;
use super::wait::within;
use super::websocket::Socket;

/// Its side of a connection.
pub(crate) type ServerSocket = Socket<TokioIo<Upgraded>>;

/// It agrees to every handshake, and to the subprotocol `superchat` if that is offered.
pub(crate) struct Server {
    pub(crate) upstream: Upstream,
    sockets: mpsc::UnboundedReceiver<ServerSocket>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let (sender, sockets) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |request| greet(request, sender.clone())).await;
        Self { upstream, sockets }
    }

    /// Behind TLS, with this certificate.
    pub(crate) async fn secure(pair: &Pair) -> Self {
        let (sender, sockets) = mpsc::unbounded_channel();
        let upstream = Upstream::secure(pair, move |request| greet(request, sender.clone())).await;
        Self { upstream, sockets }
    }

    /// The next connection.
    pub(crate) async fn next(&mut self) -> ServerSocket {
        let next = within("a connection at the server", self.sockets.recv()).await;
        next.unwrap()
    }

    /// A host whose service `a` it is, at `/a` and below, where its WebSockets may use so much.
    pub(crate) fn setup(&self, settings: &str) -> Setup {
        let url = self.upstream.url();
        let manifest = format!(
            "upstream = \"{url}/base\"\n[[route]]\npath = \"/a/{{*rest}}\"\nstrip_prefix = true\n\
             [route.websocket]\n{settings}\n"
        );
        Host::empty().manifest("a", &manifest)
    }
}

/// A host before a server.
pub(crate) async fn before(server: &Server, settings: &str) -> Host {
    server.setup(settings).start().await
}

async fn greet(
    request: Request<Incoming>,
    sockets: mpsc::UnboundedSender<ServerSocket>,
) -> Response<Body> {
    let protocols = request.headers().get("sec-websocket-protocol").cloned();
    let (mut answer, socket) = agree(request);
    let headers = answer.headers_mut();
    headers.insert("set-cookie", "a=b".parse().unwrap());
    if protocols.is_some_and(|names| names.to_str().unwrap().contains("superchat")) {
        headers.insert("sec-websocket-protocol", "superchat".parse().unwrap());
    }
    // A test that has ended wants none.
    tokio::spawn(async move { sockets.send(socket.await).ok() });
    answer
}

/// What a server answers to a handshake, and its side of the connection.
pub(crate) fn agree(
    mut request: Request<Incoming>,
) -> (Response<Body>, impl Future<Output = ServerSocket>) {
    let key = request.headers()["sec-websocket-key"].as_bytes();
    let answer = Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", derive_accept_key(key))
        .body(empty())
        .unwrap();
    let upgrade = hyper::upgrade::on(&mut request);
    let socket = async { Socket::of_server(TokioIo::new(upgrade.await.unwrap())).await };
    (answer, socket)
}
