//! The host stripped to instantiate-and-call: what `cargo xtask bench` weighs the host's own machinery against.
//!
//! The same threads, HTTP library, allocator, pool and engine; no routes, limits, epochs, deadlines, metrics or faults.
//! `bare PORT COMPONENT` serves a wasi:http 0.2 proxy at every path, in a fresh instance for each request;
//! `bare compile COMPONENT` prints the milliseconds that the compiler itself takes with the host's settings.

#![allow(clippy::print_stdout, reason = "xtask reads it")]

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mimalloc::MiMalloc;
use skep::config::Pool;
use skep::engine::{Kind, compile_config, run_config, swap_is_absent};
use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const POOL: Pool = Pool {
    instances: 1000,
    memory_max: 1 << 30,
};

struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    nowhere: Nowhere,
}

/// Guests send nothing.
struct Nowhere;

type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Nowhere {
    fn send_request(
        &mut self,
        _: hyper::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.nowhere,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

struct Guest {
    engine: Engine,
    proxy: ProxyPre<State>,
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(port), Some(component)) = (args.next(), args.next()) else {
        bail!("usage: bare PORT COMPONENT, or bare compile COMPONENT");
    };
    if port == "compile" {
        let component = std::fs::read(component)?;
        let engine = Engine::new(&compile_config(Kind::Sync))?;
        let began = Instant::now();
        engine.precompile_component(&component)?;
        println!("{}", began.elapsed().as_secs_f64() * 1e3);
        return Ok(());
    }
    let guest = Arc::new(guest(&component)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?))?;
    let mut lanes = Vec::new();
    for _ in 0..std::thread::available_parallelism()?.get() {
        let (sender, streams) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let guest = guest.clone();
        std::thread::spawn(move || runtime.block_on(serve(streams, guest)));
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

fn guest(component: &str) -> anyhow::Result<Guest> {
    let mut config = run_config(Kind::Sync, &POOL, swap_is_absent());
    config.epoch_interruption(false);
    let engine = Engine::new(&config)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let component = Component::from_file(&engine, component)?;
    let proxy = ProxyPre::new(linker.instantiate_pre(&component)?)?;
    Ok(Guest { engine, proxy })
}

async fn serve(mut streams: mpsc::UnboundedReceiver<std::net::TcpStream>, guest: Arc<Guest>) {
    while let Some(stream) = streams.recv().await {
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
            continue;
        };
        let guest = guest.clone();
        // Not joined: it ends with its connection.
        drop(tokio::spawn(async move {
            let service = service_fn(|request| answer(&guest, request));
            let http = hyper::server::conn::http1::Builder::new();
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // A client that hangs up is no news.
            drop(connection.await);
        }));
    }
}

async fn answer(
    guest: &Guest,
    request: hyper::Request<Incoming>,
) -> anyhow::Result<Response<WasiBody>> {
    let state = State {
        wasi: WasiCtxBuilder::new().build(),
        http: WasiHttpCtx::new(),
        table: ResourceTable::new(),
        nowhere: Nowhere,
    };
    let mut store = Store::new(&guest.engine, state);
    let (reply, answer) = oneshot::channel();
    let (mut parts, body) = request.into_parts();
    // The guest's request names its host, as it does in the host.
    parts.uri = format!("http://localhost{}", parts.uri.path()).parse()?;
    let body = body.map_err(|_| Error::HttpProtocolError).boxed_unsync();
    let request = hyper::Request::from_parts(parts, body);
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let outparam = http.new_response_outparam_from_callback(move |response| {
        // Whoever waited may be gone.
        drop(reply.send(response));
    })?;
    let proxy = guest.proxy.instantiate_async(&mut store).await?;
    let handler = proxy.wasi_http_incoming_handler();
    handler.call_handle(&mut store, request, outparam).await?;
    answer
        .await?
        .map_err(|code| anyhow::anyhow!("{code:?}"))
        .context("the guest answered with an error")
}
