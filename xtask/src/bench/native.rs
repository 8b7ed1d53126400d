//! The limit: hyper alone, on the host's own arrangement of threads, answering what the guests answer.

use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Flags of `xtask native`.
#[derive(clap::Args)]
pub(crate) struct Options {
    port: u16,
}

/// Serves `/echo`, and a short text at every other path, until it is killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    let mut lanes = Vec::new();
    for _ in 0..std::thread::available_parallelism()?.get() {
        let (sender, streams) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::spawn(move || runtime.block_on(serve(streams)));
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

async fn serve(mut streams: UnboundedReceiver<std::net::TcpStream>) {
    while let Some(stream) = streams.recv().await {
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
            continue;
        };
        // Not joined: it ends with its connection.
        drop(tokio::spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer));
            // A client that hangs up is no news.
            drop(connection.await);
        }));
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let body = if request.uri().path() == "/echo" {
        request.into_body().boxed()
    } else {
        let text = Bytes::from_static(b"Hello from hello revision 1: GET /\n");
        Full::new(text).map_err(|never| match never {}).boxed()
    };
    Ok(Response::new(body))
}
