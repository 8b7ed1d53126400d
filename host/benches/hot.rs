//! The hot pieces of a request, each alone: matching a route, being admitted, starting an instance, being answered.
//!
//! `cargo bench -p skep --bench hot`, after `cargo xtask guests`.

#![allow(clippy::expect_used, reason = "a benchmark that can't go on ends")]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use divan::{Bencher, black_box};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mimalloc::MiMalloc;
use skep::config::{Overrides, host};
use skep::deploy::Deployer;
use skep::deploy::arrive::{Intake, Pace, Watch};
use skep::deploy::compile::{CacheDir, Compiler, Launch};
use skep::deploy::order::Orders;
use skep::host::{Core, Gateway, busy_runtime};
use skep::registry::Revision;
use skep::request::gate::Gate;
use skep::request::run::probe;
use skep::state::State;
use skep_policy::limits::Limits;
use skep_policy::name::ServiceName;
use skep_policy::routes::{RouteSpec, RouteTable};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    divan::main();
}

#[divan::bench(args = [10, 10_000])]
fn match_a_route(bencher: Bencher<'_, '_>, services: u32) {
    let routes = (0..services).flat_map(|index| {
        let name = ServiceName::try_from(format!("s{index}").as_str());
        let name = name.expect("a name");
        let routes = RouteSpec::drop_in(&name).into_iter();
        routes.map(move |route| (route, name.clone(), ()))
    });
    let table = RouteTable::build(routes).expect("different routes");
    bencher.bench(|| {
        drop(black_box(table.find(
            "shop.example",
            black_box("/s7/a/b"),
            "GET",
        )));
    });
}

#[divan::bench]
fn be_admitted(bencher: Bencher<'_, '_>) {
    let runtime = Host::runtime();
    let gate = Gate::new();
    gate.configure(&Limits::default());
    let deadline = Instant::now() + std::time::Duration::from_secs(3600);
    bencher.bench_local(|| drop(runtime.block_on(gate.admit(deadline))));
}

#[divan::bench(args = ["hello", "hello-p3"])]
fn start_an_instance(bencher: Bencher<'_, '_>, guest: &str) {
    let host = &*HOST;
    let revision = host.revision(guest);
    bencher.bench_local(|| host.control.block_on(probe(&host.core, revision.clone())));
}

/// Over a connection on the loopback device, with a thread change on either side.
#[divan::bench(args = ["/hello/", "/hello-p3/", "/reused/"])]
fn be_answered(bencher: Bencher<'_, '_>, path: &str) {
    let host = &*HOST;
    let runtime = Host::runtime();
    let mut sender = runtime.block_on(host.connect());
    bencher.bench_local(|| {
        runtime.block_on(async {
            let request = hyper::Request::get(path).header("host", "localhost");
            let request = request.body(Empty::<Bytes>::new()).expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            answer.into_body().collect().await.expect("a body")
        })
    });
}

static HOST: LazyLock<Host> = LazyLock::new(|| Host::start().expect("a host"));

/// The host in this process, on three services.
struct Host {
    control: Runtime,
    core: Arc<Core>,
    gateway: Gateway,
    _busy: Runtime,
    _watch: Watch,
}

impl Host {
    fn start() -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?.keep();
        let guests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/guests");
        for (name, guest) in [
            ("hello", "hello"),
            ("hello-p3", "hello-p3"),
            ("reused", "hello"),
        ] {
            let guest = guests.join(guest).with_extension("wasm");
            std::fs::copy(guest, home.join(name).with_extension("wasm"))?;
        }
        std::fs::write(home.join("reused.toml"), "[instances]\nreuse = 100000\n")?;
        let overrides = Overrides {
            listen: vec![([127, 0, 0, 1], 0).into()],
            state: Some(home.join(".state")),
            ..Overrides::default()
        };
        let (config, _) = host::load(Some(&home), overrides)?;
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let busy = busy_runtime(1)?;
        let (first_scan, mut scanned) = watch::channel(false);
        let state = Arc::new(State::open(&config.state)?);
        let core = Core::new(
            config,
            control.handle().clone(),
            busy.handle().clone(),
            scanned.clone(),
            state,
        )?;
        let compiler = Compiler::new(
            CacheDir::open(&core.config.cache)?,
            core.config.compile.clone(),
            core.engines.clone(),
            Launch::new(env!("CARGO_BIN_EXE_skep"), ["compile-child"]),
        )?;
        let (watch, batches) = Watch::start(Intake::of(&core.config), Pace::default(), Vec::new())?;
        let deployer = Deployer::new(core.clone(), compiler);
        let (_, orders) = Orders::channel();
        drop(control.spawn(deployer.run(batches, orders, first_scan)));
        let gateway = control.block_on(async {
            let gateway = Gateway::open(core.clone(), 1).await?;
            scanned.wait_for(|done| *done).await?;
            anyhow::Ok(gateway)
        })?;
        Ok(Self {
            control,
            core,
            gateway,
            _busy: busy,
            _watch: watch,
        })
    }

    fn runtime() -> Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime")
    }

    fn revision(&self, service: &str) -> Arc<Revision> {
        let snapshot = self.core.registry.snapshot();
        let name = ServiceName::try_from(service).expect("a name");
        let revision = snapshot.services[&name].revision.clone();
        revision.expect("a service that came up")
    }

    async fn connect(&self) -> SendRequest<Empty<Bytes>> {
        let stream = tokio::net::TcpStream::connect(self.gateway.addresses[0]);
        let stream = stream.await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        drop(tokio::spawn(connection));
        sender
    }
}
