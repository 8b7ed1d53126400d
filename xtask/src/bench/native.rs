//! The limit: hyper alone, on the host's own arrangement of threads, answering what the guests answer.

use std::net::{Ipv4Addr, TcpListener};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::hop::HOPS_A_REQUEST;

/// Flags of `xtask native`.
#[derive(clap::Args)]
pub(crate) struct Options {
    port: u16,
    /// Where another serves, which is asked for the answers to `/hop`
    other: Option<u16>,
}

/// Serves `/echo`, `/hop` if there is another to ask, and a short text at every other path, until it is killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    let mut lanes = Vec::new();
    for _ in 0..std::thread::available_parallelism()?.get() {
        let (sender, streams) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let other = options.other;
        std::thread::spawn(move || runtime.block_on(serve(streams, other)));
        lanes.push(sender);
    }
    for (index, stream) in listener.incoming().enumerate() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        lanes[index % lanes.len()].send(stream)?;
    }
    Ok(())
}

async fn serve(mut streams: UnboundedReceiver<std::net::TcpStream>, other: Option<u16>) {
    while let Some(stream) = streams.recv().await {
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
            continue;
        };
        // Not joined: it ends with its connection.
        drop(tokio::spawn(async move {
            let upstream = match other {
                Some(port) => connect(port).await.ok(),
                None => None,
            };
            let upstream = tokio::sync::Mutex::new(upstream);
            let http = hyper::server::conn::http1::Builder::new();
            let service = service_fn(|request| answer(request, &upstream));
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // A client that hangs up is no news.
            drop(connection.await);
        }));
    }
}

/// A connection of its own to another server for each connection, so that no pool is measured.
type Upstream = SendRequest<Empty<Bytes>>;

async fn connect(port: u16) -> anyhow::Result<Upstream> {
    let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    let (upstream, connection) = handshake(TokioIo::new(stream)).await?;
    // Not joined: it ends with its connection.
    drop(tokio::spawn(connection));
    Ok(upstream)
}

type Body = BoxBody<Bytes, hyper::Error>;

async fn answer(
    request: Request<Incoming>,
    upstream: &tokio::sync::Mutex<Option<Upstream>>,
) -> hyper::Result<Response<Body>> {
    if request.uri().path() == "/hop"
        && let Some(upstream) = upstream.lock().await.as_mut()
    {
        let mut answer = Bytes::new();
        for _ in 0..HOPS_A_REQUEST {
            let mut onward = Request::new(Empty::new());
            *onward.uri_mut() = Uri::from_static("/hello");
            let host = HeaderValue::from_static("localhost");
            onward.headers_mut().insert(header::HOST, host);
            let response = upstream.send_request(onward).await?;
            answer = response.into_body().collect().await?.to_bytes();
        }
        let answer = Full::new(answer).map_err(|never| match never {});
        return Ok(Response::new(answer.boxed()));
    }
    let body = if request.uri().path() == "/echo" {
        request.into_body().boxed()
    } else {
        let text = Bytes::from_static(b"Hello from hello revision 1: GET /\n");
        Full::new(text).map_err(|never| match never {}).boxed()
    };
    Ok(Response::new(body))
}
