//! Load: requests at a fixed rate, whose answers are timed and checked, or only press.
//!
//! Each load has a thread of its own, so that the test's work and the other loads don't slow its clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::client::{self, Connection};

/// Kept-alive connections of a steady load: enough that a slow answer does not hold up the next request.
const CONNECTIONS: usize = 16;
/// Who only presses runs behind everything else: what it takes of the processor is not the host's doing.
const PRESSURE_NICE: i32 = 19;

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// From the moment a request was sent to the last byte of its answer; if no connection was free when the request
    /// was due, from that moment.
    pub(crate) durations: Vec<Duration>,
    /// What was wrong with the answers that were not as they should be.
    pub(crate) errors: Vec<String>,
}

impl Figures {
    /// Adds what came later.
    pub(crate) fn extend(&mut self, later: Self) {
        self.durations.extend(later.durations);
        self.errors.extend(later.errors);
    }

    /// The time within which all but one in a hundred were answered.
    pub(crate) fn p99(&self) -> Duration {
        let mut sorted = self.durations.clone();
        sorted.sort_unstable();
        assert!(!sorted.is_empty(), "no answers; errors: {:?}", self.errors);
        sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)]
    }
}

/// Says what is wrong with an answer.
pub(crate) type Check = fn(&Answer) -> Result<(), String>;

/// Takes any answer that is 200 and whole.
pub(crate) fn whole_200(answer: &Answer) -> Result<(), String> {
    let fine = answer.status() == 200 && answer.cut.is_none();
    if fine {
        Ok(())
    } else {
        Err(format!("{answer:?}"))
    }
}

/// What requests are sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// HTTP/1.1, on connections that are kept.
    Kept,
    /// HTTP/1.1, each on a connection of its own.
    Fresh,
    /// HTTP/2, on connections that are kept.
    Http2,
}

/// Requests at a fixed rate, sent when they are due, whatever became of those before.
#[derive(Debug)]
pub(crate) struct Load {
    stopped: CancellationToken,
    figures: Arc<Mutex<Figures>>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// `GET path`, `rate` times a second.
    pub(crate) fn steady(gateway: SocketAddr, path: &str, rate: u32, check: Check) -> Self {
        Self::on(Way::Kept, gateway, path, rate, check)
    }

    /// The same in a way of one's choice.
    pub(crate) fn on(way: Way, gateway: SocketAddr, path: &str, rate: u32, check: Check) -> Self {
        let stopped = CancellationToken::new();
        let figures = Arc::new(Mutex::new(Figures::default()));
        let path = path.to_owned();
        let (ends, figures_of_thread) = (stopped.clone(), figures.clone());
        let thread = on_a_thread(async move {
            let schedule = Schedule::new(rate);
            let asked = (way, gateway, path.as_str());
            let worker = || work(asked, &schedule, check, &figures_of_thread, &ends);
            join_all((0..CONNECTIONS).map(|_| worker())).await;
        });
        Self {
            stopped,
            figures,
            thread: Some(thread),
        }
    }

    /// What came since the load began, or since this was last asked.
    pub(crate) fn take(&self) -> Figures {
        std::mem::take(&mut *lock(&self.figures))
    }

    /// Ends the load, finishing what is under way; what came since figures were last taken.
    pub(crate) fn stop(mut self) -> Figures {
        self.stopped.cancel();
        self.thread
            .take()
            .unwrap()
            .join()
            .expect("the load does not panic");
        self.take()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

struct Schedule {
    start: Instant,
    rate: u32,
    next: AtomicU32,
}

impl Schedule {
    fn new(rate: u32) -> Self {
        Self {
            start: Instant::now(),
            rate,
            next: AtomicU32::new(0),
        }
    }

    /// When the next request is due.
    fn take(&self) -> Instant {
        let number = self.next.fetch_add(1, Relaxed);
        self.start + Duration::from_secs(1) * number / self.rate
    }
}

async fn work(
    (way, gateway, path): (Way, SocketAddr, &str),
    schedule: &Schedule,
    check: Check,
    figures: &Mutex<Figures>,
    stopped: &CancellationToken,
) {
    let mut kept = None;
    loop {
        let due = schedule.take();
        let in_time = Instant::now() < due;
        if stopped
            .run_until_cancelled(sleep_until(due))
            .await
            .is_none()
        {
            return;
        }
        // A timer's delay is the client's own.
        let began = if in_time { Instant::now() } else { due };
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None if way == Way::Http2 => Connection::http2(gateway).await,
            None => Connection::http1(gateway).await,
        };
        let verdict = match connection.open(client::get(path)).await {
            Ok(reply) => {
                let answer = reply.finish().await;
                if way != Way::Fresh && answer.header("connection") != Some("close") {
                    kept = Some(connection);
                }
                check(&answer)
            }
            Err(error) => Err(format!("no answer: {error:?}")),
        };
        let mut figures = lock(figures);
        match verdict {
            Ok(()) => figures.durations.push(began.elapsed()),
            Err(error) => {
                kept = None;
                figures.errors.push(error);
            }
        }
    }
}

/// Requests at a fixed rate whatever the answers are, each on a connection of its own.
#[derive(Debug)]
pub(crate) struct Pressure {
    stopped: CancellationToken,
    thread: JoinHandle<BTreeMap<String, u32>>,
}

impl Pressure {
    /// `GET path`, `rate` times a second. A request that can't be sent when it is due, since all before it are still
    /// under way, is left out. Bodies are taken as they come and forgotten.
    pub(crate) fn steady(gateway: SocketAddr, path: &str, rate: u32) -> Self {
        let stopped = CancellationToken::new();
        let path = path.to_owned();
        let ends = stopped.clone();
        let thread = on_a_thread(async move {
            let thread = rustix::thread::gettid();
            rustix::process::setpriority_process(Some(thread), PRESSURE_NICE).unwrap();
            let schedule = Schedule::new(rate);
            let outcomes = Mutex::new(BTreeMap::new());
            let press = async || loop {
                let due = schedule.take();
                if due < Instant::now() {
                    continue;
                }
                sleep_until(due).await;
                let outcome = ask(gateway, &path).await;
                *lock(&outcomes).entry(outcome).or_default() += 1;
            };
            let all = join_all((0..CONNECTIONS).map(|_| press()));
            // It ends only by being told to.
            drop(ends.run_until_cancelled(all).await);
            outcomes.into_inner().unwrap()
        });
        Self { stopped, thread }
    }

    /// Hangs up; how often each outcome came: a status, and whether the answer was cut.
    pub(crate) fn stop(self) -> BTreeMap<String, u32> {
        self.stopped.cancel();
        self.thread.join().expect("the pressure does not panic")
    }
}

async fn ask(gateway: SocketAddr, path: &str) -> String {
    let mut connection = Connection::http1(gateway).await;
    let Ok(mut reply) = connection.open(client::get(path)).await else {
        return "closed".to_owned();
    };
    let status = reply.head.status.as_u16();
    if reply.drain().await {
        status.to_string()
    } else {
        format!("{status} cut")
    }
}

/// Requests one behind the other on many connections, without waiting for answers, which are read and forgotten: a lane
/// that is flooded has always something to do, however slow the client is.
#[derive(Debug)]
pub(crate) struct Flood {
    stopped: CancellationToken,
    thread: JoinHandle<()>,
}

impl Flood {
    /// `GET path` on so many connections.
    pub(crate) fn begin(gateway: SocketAddr, path: &str, connections: usize) -> Self {
        const REQUESTS_AT_ONCE: usize = 32;
        let stopped = CancellationToken::new();
        let requests =
            format!("GET {path} HTTP/1.1\r\nhost: flood\r\n\r\n").repeat(REQUESTS_AT_ONCE);
        let ends = stopped.clone();
        let thread = on_a_thread(async move {
            let press = async || {
                let (mut answers, mut sent) = client::connect(gateway).await.into_split();
                let read = async { tokio::io::copy(&mut answers, &mut tokio::io::sink()).await };
                let write = async { while sent.write_all(requests.as_bytes()).await.is_ok() {} };
                futures::join!(read, write)
            };
            let all = join_all((0..connections).map(|_| press()));
            drop(ends.run_until_cancelled(all).await);
        });
        Self { stopped, thread }
    }

    /// Hangs up.
    pub(crate) fn stop(self) {
        self.stopped.cancel();
        self.thread.join().expect("the flood does not panic");
    }
}

fn on_a_thread<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    std::thread::spawn(move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(future)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
