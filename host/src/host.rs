//! The process: starts what serves, deploys and observes, and stops it in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{self, Handle};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::capability::egress::Outside;
use crate::capability::output::Lines;
use crate::config::HostConfig;
use crate::config::tls::Redirect;
use crate::deploy::board::Board;
use crate::engine::{Engines, PROBES_MAX};
use crate::registry::Registry;
use crate::replay::Replays;
use crate::request::accept::{Acceptor, Lane, Speech};
use crate::request::backend::files::Disk;
use crate::request::edge::auth::Identities;
use crate::request::tolerate::rate::Limits;
use crate::request::websocket::Connections;
use crate::request::{health, overload};
use crate::state::State;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::traffic::HostTraffic;
use crate::tls::Tls;

/// How far behind all other threads the busy lane's are scheduled.
const BUSY_NICE: i32 = 10;

/// Tasks that a lane polls before it looks whether something has arrived: two that keep waking each other, such as a
/// guest that streams and its connection, hold up a request that has just come for no longer than this many polls.
const POLLS_BETWEEN_EVENTS: u32 = 31;

/// What every part of the host shares.
pub struct Core {
    /// The settings.
    pub config: HostConfig,
    /// What runs guests.
    pub engines: Arc<Engines>,
    /// What requests find.
    pub registry: Registry,
    /// What operators are told.
    pub board: Board,
    /// What must survive a restart.
    pub state: Arc<State>,
    /// Turns true when everything that was there at the start has been deployed or refused.
    pub first_scan: watch::Receiver<bool>,
    /// Cancelled when the host begins to stop.
    pub draining: CancellationToken,
    /// All requests.
    pub traffic: Arc<HostTraffic>,
    /// A line for each request from outside, if it is wanted.
    pub access_log: Option<Arc<AccessLog>>,
    /// What guests print.
    pub lines: Lines,
    pub(crate) egress: Arc<Outside>,
    /// What verifies who sent requests.
    pub(crate) identities: Arc<Identities>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) connections: Arc<Connections>,
    /// Requests that go on to the end although nobody may wait for them.
    pub(crate) carried_out: TaskTracker,
    pub(crate) busy_lane: Handle,
    pub(crate) control: Handle,
    pub(crate) request_ids: RequestIds,
    /// How much clients have had of what the gateway allows them.
    pub(crate) limits: Limits,
    pub(crate) probes: Semaphore,
    /// Told when a candidate on trial turns out not to be healthy.
    pub(crate) alarm: Notify,
    /// How candidates answered recorded requests.
    pub replays: Replays,
}

/// Makes request ids: unique over restarts, cheap to make.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self {
            process: RandomState::new().hash_one(std::process::id()),
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn next(&self) -> String {
        format!(
            "{:016x}-{:x}",
            self.process,
            self.next.fetch_add(1, Relaxed)
        )
    }
}

/// The threads that run guests which compute for long.
///
/// # Errors
/// When threads can't be started.
pub fn busy_runtime(threads: usize) -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("skep-busy")
        .on_thread_start(|| {
            if let Err(error) =
                rustix::process::setpriority_process(Some(rustix::thread::gettid()), BUSY_NICE)
            {
                tracing::warn!(%error, "the busy lane could not be scheduled behind the others");
            }
        })
        .enable_all()
        .build()
}

impl Core {
    /// Everything but the listeners.
    ///
    /// # Errors
    /// When the instance pool can't be reserved.
    pub fn new(
        config: HostConfig,
        control: Handle,
        busy_lane: Handle,
        first_scan: watch::Receiver<bool>,
        state: Arc<State>,
    ) -> anyhow::Result<Arc<Self>> {
        let engines = Engines::new(&config.pool)
            .map_err(anyhow::Error::from)
            .context("the instance pool could not be reserved; lower [pool] instances")?;
        let access_log = config.access_log.as_ref().map(|settings| {
            let log = AccessLog::open(settings).map(Arc::new);
            log.with_context(|| format!("[access_log] file: {}", settings.file.display()))
        });
        Ok(Arc::new(Self {
            registry: Registry::new(config.pool.instances),
            engines: Arc::new(engines),
            board: Board::default(),
            state,
            first_scan,
            draining: CancellationToken::new(),
            traffic: Arc::default(),
            access_log: access_log.transpose()?,
            lines: Lines::default(),
            egress: Outside::new(control.clone()),
            identities: Identities::new(control.clone())?,
            disk: Disk::new(control.clone()),
            connections: Connections::new(config.websockets_max),
            carried_out: TaskTracker::new(),
            busy_lane,
            control,
            request_ids: RequestIds::new(),
            limits: Limits::default(),
            probes: Semaphore::new(PROBES_MAX as usize),
            alarm: Notify::new(),
            replays: Replays::default(),
            config,
        }))
    }
}

/// The gateway: its lanes, its listeners and the connections on them.
pub struct Gateway {
    core: Arc<Core>,
    tracker: TaskTracker,
    /// Where it listens, in the order of the settings.
    pub addresses: Vec<SocketAddr>,
    /// Where it listens for TLS, likewise.
    pub tls_addresses: Vec<SocketAddr>,
    tls: Option<Arc<Tls>>,
}

impl Gateway {
    /// Binds every address and starts to accept.
    ///
    /// # Errors
    /// When an address can't be bound, a certificate can't be used or a thread can't be started.
    pub async fn open(core: Arc<Core>, lanes: usize) -> anyhow::Result<Self> {
        let config = &core.config;
        let (plain, addresses) = bind(&config.listen, "--listen")?;
        let settings = config.tls.as_ref();
        let tls_listen = settings.map_or(&[][..], |tls| &tls.listen);
        let (secure, tls_addresses) = bind(tls_listen, "--tls-listen")?;
        let tls = settings.map(|tls| Tls::open(tls, core.traffic.handshakes.clone()));
        let tls = tls.transpose()?.map(Arc::new);
        let redirect = settings.and_then(|tls| match tls.redirect? {
            Redirect::Listener => tls_addresses.first().map(SocketAddr::port),
            Redirect::Port(port) => Some(port.get()),
        });
        let lanes = (0..lanes)
            .map(start_lane)
            .collect::<std::io::Result<Arc<[Lane]>>>()?;
        let tracker = TaskTracker::new();
        let acceptor = Arc::new(Acceptor {
            core: core.clone(),
            lanes,
            connections: Arc::new(Semaphore::new(
                core.config.connections_max.min(Semaphore::MAX_PERMITS),
            )),
            draining: core.draining.clone(),
            tracker: tracker.clone(),
        });
        let plain = plain
            .into_iter()
            .map(|listener| (listener, Speech::Plain { redirect }));
        let over_tls = tls.iter().map(|tls| Speech::Tls(tls.clone())).cycle();
        for (listener, speech) in plain.chain(secure.into_iter().zip(over_tls)) {
            // Not joined: it ends when the host drains.
            drop(tokio::spawn(acceptor.clone().run(listener, speech)));
        }
        for lane in acceptor.lanes.iter() {
            // Not joined: it ends with the process.
            drop(lane.runtime.spawn(overload::watch(core.clone())));
        }
        if let Some(lane) = acceptor.lanes.first() {
            // Not joined: it ends with the process.
            drop(lane.runtime.spawn(health::watch(core.clone())));
        }
        Ok(Self {
            core,
            tracker,
            addresses,
            tls_addresses,
            tls,
        })
    }

    /// Looks now whether certificates have changed.
    pub fn look_at_certificates(&self) {
        if let Some(tls) = &self.tls {
            tls.look();
        }
    }

    /// Stops accepting and waits until every connection is done, and what goes on without one, for at most the drain
    /// time. True when all were.
    pub async fn drain(&self) -> bool {
        self.core.draining.cancel();
        self.tracker.close();
        let carried_out = &self.core.carried_out;
        carried_out.close();
        let done = async {
            self.tracker.wait().await;
            // Nothing begins any more.
            carried_out.wait().await;
        };
        tokio::time::timeout(self.core.config.timeouts.drain, done)
            .await
            .is_ok()
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.tracker.len()
    }
}

/// Connections that wait to be accepted. Of those beyond it the system may keep nothing, and their clients not know; it
/// has a limit of its own, too.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A host that is started again need not wait for what its predecessor's connections leave behind.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listeners, and where they turned out to listen.
fn bind(
    addresses: &[SocketAddr],
    flag: &str,
) -> anyhow::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let mut bound = (Vec::new(), Vec::new());
    for address in addresses {
        let listener = listen(*address)
            .with_context(|| format!("can't listen on {address}; choose another with {flag}"))?;
        bound.1.push(listener.local_addr()?);
        bound.0.push(listener);
    }
    Ok(bound)
}

/// Starts a thread with a runtime of its own, which ends with the process.
fn start_lane(index: usize) -> std::io::Result<Lane> {
    let runtime = runtime::Builder::new_current_thread()
        .event_interval(POLLS_BETWEEN_EVENTS)
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name(format!("skep-lane-{index}"))
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(Lane {
        runtime: handle,
        connections: AtomicUsize::new(0),
    })
}
