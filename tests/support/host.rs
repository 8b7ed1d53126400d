//! A running host as a test sees it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use http::Request;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{Answer, Reply};
use super::client::{self, Body, Connection};
use super::log::{Line, Log};
use super::process::{Addresses, Process};
use super::service::{Service, Services};
use super::setup::Setup;
use super::wait::{until, within};
use super::wire::Wire;

/// Lines of the log that a failing test shows.
const TAIL_LINES: usize = 40;

/// A running host. Files are deployed into it as into its [`Setup`]. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Host {
    // None once it has been stopped.
    running: Option<(Process, Setup)>,
    pub(crate) gateway: SocketAddr,
    /// Where it speaks TLS.
    pub(crate) tls: Vec<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) log: Log,
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct InFlight(AbortOnDropHandle<Answer>);

impl InFlight {
    /// The answer.
    pub(crate) async fn finish(self) -> Answer {
        within("a request to be answered", self.0).await.unwrap()
    }

    /// Whether the answer is there.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

impl Host {
    /// A host with one drop-in.
    pub(crate) fn with(name: &str, wasm: impl AsRef<Path>) -> Setup {
        Setup::new().and(name, wasm)
    }

    /// A host whose folder is empty.
    pub(crate) fn empty() -> Setup {
        Setup::new()
    }

    pub(super) fn new(setup: Setup, process: Process, addresses: &Addresses) -> Self {
        let log = process.log.clone();
        Self {
            running: Some((process, setup)),
            gateway: addresses.plain[0],
            tls: addresses.tls.clone(),
            admin: addresses.admin[0],
            log,
        }
    }

    /// `GET path` on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(client::get(path)).await
    }

    /// Any request on a connection of its own.
    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        self.open(request).await.finish().await
    }

    /// Any request on a connection of its own; resolves at the answer's head.
    pub(crate) async fn open(&self, request: Request<Body>) -> Reply {
        self.connect().await.once(request).await
    }

    /// `GET path`, which goes on while the test does other things. It is sent when this returns; that the host works
    /// on it, [`Host::works_on`] tells.
    pub(crate) async fn begin(&self, path: &str) -> InFlight {
        let connection = self.connect().await;
        let request = client::get(path);
        let task = tokio::spawn(async move { connection.once(request).await.finish().await });
        // The task runs up to where it waits for the answer.
        tokio::task::yield_now().await;
        InFlight(AbortOnDropHandle::new(task))
    }

    /// A kept-alive HTTP/1.1 connection.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::http1(self.gateway).await
    }

    /// An HTTP/2 connection.
    pub(crate) async fn connect_h2(&self) -> Connection {
        Connection::http2(self.gateway).await
    }

    /// A connection of either version.
    pub(crate) async fn both(&self) -> [Connection; 2] {
        [self.connect().await, self.connect_h2().await]
    }

    /// A connection for bytes.
    pub(crate) async fn wire(&self) -> Wire {
        Wire::new(self.tcp().await)
    }

    /// A bare connection.
    pub(crate) async fn tcp(&self) -> TcpStream {
        client::connect(self.gateway).await
    }

    /// Sends bytes and takes what comes until the host closes the connection.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.tcp().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        let mut taken = Vec::new();
        // A reset ends the connection as well.
        drop(
            within(
                "the host to close the connection",
                stream.read_to_end(&mut taken),
            )
            .await,
        );
        String::from_utf8_lossy(&taken).into_owned()
    }

    /// `GET path` of the admin API.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        Connection::http1(self.admin).await.get(path).await
    }

    /// What the admin API says of all services.
    pub(crate) async fn services(&self) -> Vec<Service> {
        let answer = self.admin("/v1/services").await;
        let Services { services } = serde_json::from_str(answer.text()).unwrap();
        services
    }

    /// What it says of one; it must know it.
    pub(crate) async fn service(&self, name: &str) -> Service {
        let services = self.services().await;
        let found = services
            .iter()
            .find(|service| service.name == name)
            .cloned();
        found.unwrap_or_else(|| panic!("no {name} among {services:?}"))
    }

    /// The value of a metric in Prometheus' text; `labels` as in `service="a"`, all of which the sample must have. The
    /// sum if several samples fit; `None` if none does.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let answer = self.admin("/metrics").await;
        let fits = |sample: &&str| {
            let rest = sample.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
                && labels
                    .iter()
                    .all(|(key, value)| sample.contains(&format!("{key}=\"{value}\"")))
        };
        let values = answer.text().lines().filter(fits).map(|sample| {
            let value = sample.rsplit(' ').next().unwrap();
            value.parse::<f64>().unwrap()
        });
        values.reduce(|sum, value| sum + value)
    }

    /// Bytes of memory that the process has.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    /// Sees other clients' requests for `path` answered, on every lane, whatever goes on there meanwhile.
    pub(crate) async fn serves_others(&self, path: &str) {
        // Connections are dealt out evenly: one more than there are lanes meets every one of them.
        let lanes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut connections = Vec::new();
        for _ in 0..=lanes {
            connections.extend(self.both().await);
        }
        for connection in &mut connections {
            assert_eq!(connection.get(path).await.status(), 200);
        }
    }

    /// How many of the gateway's connections ended for this reason.
    pub(crate) async fn ended_by(&self, reason: &str) -> f64 {
        let labels = [("reason", reason)];
        let count = self.metric("skep_connections_ended_total", &labels).await;
        count.unwrap()
    }

    /// The first line of the log that fits, as soon as there is one.
    pub(crate) async fn log_line(&self, what: &str, fits: impl Fn(&Line) -> bool) -> Arc<Line> {
        let line = within(&format!("a line in the log: {what}"), self.log.find(fits)).await;
        line.unwrap_or_else(|| panic!("the log ended without {what}"))
    }

    /// The line of the log that is the `number`th to fit, from 1, as soon as there is one.
    pub(crate) async fn nth_line(
        &self,
        what: &str,
        number: usize,
        fits: impl Fn(&Line) -> bool,
    ) -> Arc<Line> {
        let seen = Cell::new(0);
        self.log_line(what, |line| {
            seen.set(seen.get() + usize::from(fits(line)));
            fits(line) && seen.get() == number
        })
        .await
    }

    /// What the log says of a request that was answered.
    pub(crate) async fn logged(&self, answer: &Answer) -> Arc<Line> {
        let id = answer
            .header("x-request-id")
            .expect("every answer has an id")
            .to_owned();
        let fits = |line: &Line| line.field("id") == id && !line.field("status").is_empty();
        self.log_line(&format!("the request {id}"), fits).await
    }

    /// Waits until this revision of a service answers.
    pub(crate) async fn promoted(&self, service: &str, revision: u64) -> Arc<Line> {
        let what = format!("revision {revision} of {service} promoted");
        let revision = revision.to_string();
        self.log_line(&what, |line| {
            line.says("revision promoted", service) && line.field("revision") == revision
        })
        .await
    }

    /// Waits until a candidate for a service is refused.
    pub(crate) async fn refused(&self, service: &str) -> Arc<Line> {
        let what = format!("a deployment of {service} refused");
        self.log_line(&what, |line| line.says("deployment refused", service))
            .await
    }

    /// Waits until this many requests of a service have a slot, its guest's work.
    pub(crate) async fn works_on(&self, service: &str, requests: u32) {
        self.load(service, "in_flight", requests).await;
    }

    /// Waits until this many requests of a service wait for a slot.
    pub(crate) async fn queues(&self, service: &str, requests: u32) {
        self.load(service, "queued", requests).await;
    }

    async fn load(&self, service: &str, kind: &str, requests: u32) {
        let what = format!("{requests} requests of {service} {kind}");
        until(&what, async || {
            let answer = self.admin(&format!("/v1/services/{service}")).await;
            (answer.json()[kind] == requests).then_some(())
        })
        .await;
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.process().id()
    }

    /// A path as the host sees it, which may have mounted something there.
    pub(crate) fn inside(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref().display();
        PathBuf::from(format!("/proc/{}/root{path}", self.id()))
    }

    /// SIGTERM; the host must end well. What it served can be started again.
    pub(crate) async fn stop(self) -> Setup {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Waits for the host to end by itself, which it must do well.
    pub(crate) async fn ended(mut self) -> Setup {
        let (mut process, setup) = self.running.take().unwrap();
        let status = within("the host to end", process.ended()).await;
        assert_eq!(
            status.code(),
            Some(0),
            "{status}; its log ends:\n{}",
            self.log.tail(TAIL_LINES)
        );
        self.assert_no_panic();
        setup
    }

    /// Waits for the host to end, however that may be.
    pub(crate) async fn exit(mut self) -> ExitStatus {
        let (mut process, _setup) = self.running.take().unwrap();
        let status = within("the host to end", process.ended()).await;
        self.assert_no_panic();
        status
    }

    /// SIGKILL. What it served can be started again.
    pub(crate) async fn kill(mut self) -> Setup {
        let (mut process, setup) = self.running.take().unwrap();
        process.signal(Signal::KILL);
        within("the host to be gone", process.ended()).await;
        self.assert_no_panic();
        setup
    }

    fn process(&self) -> &Process {
        &self.running.as_ref().unwrap().0
    }

    fn assert_no_panic(&self) {
        let panics = self.log.all(Line::is_panic);
        assert!(panics.is_empty(), "the host panicked: {panics:#?}");
    }
}

impl Deref for Host {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.running.as_ref().unwrap().1
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the host's log ends:\n{}", self.log.tail(TAIL_LINES));
        } else if self.running.is_some() {
            self.assert_no_panic();
        }
    }
}
