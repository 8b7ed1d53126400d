//! What lies in a file or at a URL and may change: read by a task of its own, again and again. What was read last holds
//! while it can't be read, for a while; then there is nothing, and nobody comes in by it.
//!
//! A request never waits for it unless it needs what is not there, and all that do wait for the same look.

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::config::edge::{KeySource, Location};
use crate::deploy::arrive::{Rest, Stamp};
use crate::https;
use crate::telemetry;

/// What asks URLs. It follows no redirections: keys come from where the operator says, or not at all.
pub(super) type HttpClient = Client<https::Connector, Empty<Bytes>>;

/// For the whole answer of a URL.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// From one look at a file to the next.
const LOOK: Duration = Duration::from_secs(1);
/// From one look that fails to the next: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const PROGRAM: HeaderValue = HeaderValue::from_static(concat!("skep/", env!("CARGO_PKG_VERSION")));

/// How what is watched is read.
#[derive(Clone, Copy)]
pub(super) struct Kind<T> {
    /// What it is called in the log.
    pub(super) what: &'static str,
    pub(super) bytes_max: usize,
    /// Reads it, or says what is wrong, and nothing of what it holds.
    pub(super) read: fn(&[u8]) -> Result<T, String>,
}

/// What is watched. Dropped, nobody looks any more.
pub(super) struct Watched<T> {
    inner: Arc<Inner<T>>,
    _task: AbortOnDropHandle<()>,
}

struct Inner<T> {
    source: KeySource,
    kind: Kind<T>,
    client: HttpClient,
    current: ArcSwapOption<Loaded<T>>,
    progress: watch::Sender<Progress>,
    wanted: Notify,
}

/// What was read last.
pub(super) struct Loaded<T> {
    pub(super) value: Arc<T>,
    /// Another one for each value.
    pub(super) version: u64,
    until: Instant,
}

#[derive(Debug, Default)]
struct Progress {
    is_under_way: bool,
    began: Option<Instant>,
    ended: u64,
    is_asked: bool,
}

/// What a look at a file goes by.
#[derive(Default)]
struct Stamps {
    rest: Rest<Stamp>,
    /// What was wrong with what was read.
    wrong: Option<String>,
}

impl<T: PartialEq + Send + Sync + 'static> Watched<T> {
    pub(super) fn start(
        source: &KeySource,
        kind: Kind<T>,
        client: &HttpClient,
        on: &Handle,
    ) -> Self {
        let inner = Arc::new(Inner {
            source: source.clone(),
            kind,
            client: client.clone(),
            current: ArcSwapOption::empty(),
            // The first look begins now, also for those who ask before the task does.
            progress: watch::Sender::new(Progress {
                is_under_way: true,
                ..Progress::default()
            }),
            wanted: Notify::new(),
        });
        let task = on.spawn(inner.clone().run());
        Self {
            inner,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// What there is now, if it is still good.
    pub(super) fn current(&self) -> Option<Arc<Loaded<T>>> {
        let loaded = self.inner.current.load_full()?;
        (Instant::now() < loaded.until).then_some(loaded)
    }

    /// The version of what there is now, if it is still good.
    pub(super) fn version(&self) -> Option<u64> {
        let loaded = self.inner.current.load();
        let good = loaded
            .as_ref()
            .filter(|loaded| Instant::now() < loaded.until);
        good.map(|loaded| loaded.version)
    }

    /// Waits until somebody has looked once more, until then at most. False if it is too early for another look.
    pub(super) async fn renewed(&self, until: Instant) -> bool {
        let mut progress = self.inner.progress.subscribe();
        let Some(ended) = self.inner.ask() else {
            return false;
        };
        let until = until.min(Instant::now() + FETCH_TIMEOUT);
        let next = progress.wait_for(|progress| progress.ended > ended);
        timeout_at(until, next).await.is_ok()
    }

    /// What there is; if there is nothing, what another look finds until then.
    pub(super) async fn get(&self, until: Instant) -> Option<Arc<Loaded<T>>> {
        match self.current() {
            None if self.renewed(until).await => self.current(),
            current => current,
        }
    }
}

impl<T: PartialEq + Send + Sync + 'static> Inner<T> {
    /// Has somebody look, unless that was just done; how many looks had ended before the one that is under way then.
    fn ask(&self) -> Option<u64> {
        let cooldown = match self.source.location {
            Location::File(_) => self.source.cooldown.min(LOOK),
            Location::Url(_) => self.source.cooldown,
        };
        let mut ended = None;
        self.progress.send_if_modified(|progress| {
            let is_due = || {
                progress
                    .began
                    .is_none_or(|began| began.elapsed() >= cooldown)
            };
            if progress.is_under_way || progress.is_asked || is_due() {
                progress.is_asked |= !progress.is_under_way;
                ended = Some(progress.ended);
            }
            false
        });
        self.wanted.notify_one();
        ended
    }

    async fn run(self: Arc<Self>) {
        let mut stamps = Stamps::default();
        let mut failures = 0_u32;
        let mut said = None;
        loop {
            let mut is_asked = false;
            self.progress.send_modify(|progress| {
                progress.is_under_way = true;
                // At once with what says so: whoever asks from now on waits for this look.
                is_asked = mem::take(&mut progress.is_asked);
                progress.began = Some(Instant::now());
            });
            match self.look(&mut stamps, is_asked).await {
                Ok(()) => {
                    failures = 0;
                    if said.take().is_some() {
                        tracing::info!(
                            source = self.name(),
                            "{} can be read again",
                            self.kind.what
                        );
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.warn(error, &mut said);
                }
            }
            self.progress.send_modify(|progress| {
                progress.is_under_way = false;
                progress.ended += 1;
            });
            self.rest(failures).await;
        }
    }

    /// Until it is time for another look, or somebody asks for one.
    async fn rest(&self, failures: u32) {
        let (first, most) = AGAIN;
        let pause = match (&self.source.location, failures) {
            (Location::File(_), _) => LOOK,
            (Location::Url(_), 0) => self.source.refresh,
            (Location::Url(_), failures) => {
                let again = first.saturating_mul(1 << failures.min(10).saturating_sub(1));
                again.min(most).min(self.source.refresh)
            }
        };
        let asked = async {
            while !self.progress.borrow().is_asked {
                self.wanted.notified().await;
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = asked => {}
        }
    }

    async fn look(&self, stamps: &mut Stamps, is_asked: bool) -> Result<(), String> {
        let bytes = match &self.source.location {
            Location::Url(url) => self.fetch(url).await?,
            Location::File(path) => match self.read(path, stamps, is_asked).await? {
                Some(bytes) => bytes,
                None => {
                    if let Some(wrong) = &stamps.wrong {
                        return Err(wrong.clone());
                    }
                    self.still_good();
                    return Ok(());
                }
            },
        };
        let read = (self.kind.read)(&bytes);
        stamps.wrong = read.as_ref().err().cloned();
        let value = read?;
        let before = self.current.load_full();
        let (value, version) = match before {
            Some(before) if *before.value == value => (before.value.clone(), before.version),
            before => {
                let version = before.map_or(1, |before| before.version + 1);
                let (what, source) = (self.kind.what, self.name());
                tracing::info!(source, version, "{what} have been read");
                (Arc::new(value), version)
            }
        };
        self.store(value, version);
        Ok(())
    }

    fn store(&self, value: Arc<T>, version: u64) {
        self.current.store(Some(Arc::new(Loaded {
            value,
            version,
            until: Instant::now() + self.source.stale,
        })));
    }

    /// The file is as it was when it was read.
    fn still_good(&self) {
        if let Some(loaded) = self.current.load_full() {
            self.store(loaded.value.clone(), loaded.version);
        }
    }

    /// The file's bytes if it has changed. Nobody writes a file at once: unless somebody asks, a change is read when it is
    /// the same at two looks.
    async fn read(
        &self,
        path: &Path,
        stamps: &mut Stamps,
        is_asked: bool,
    ) -> Result<Option<Bytes>, String> {
        let fail = |error: std::io::Error| telemetry::chain(&error);
        let metadata = tokio::fs::metadata(path).await.map_err(fail)?;
        let now = Stamp::of(&metadata);
        let is_needed = is_asked || self.current.load().is_none();
        if !stamps.rest.is_due(&now, is_needed) {
            return Ok(None);
        }
        // Opening a pipe would wait for a writer.
        if !metadata.is_file() {
            return Err("is no file".to_owned());
        }
        let most = self.kind.bytes_max;
        let file = tokio::fs::File::open(path).await.map_err(fail)?;
        let mut bytes = Vec::new();
        let mut file = file.take(most as u64 + 1);
        file.read_to_end(&mut bytes).await.map_err(fail)?;
        if bytes.len() > most {
            return Err(format!("is larger than {most} bytes"));
        }
        // What is wrong is not read again before it changes; that it is wrong is said once.
        stamps.rest.read(now);
        Ok(Some(bytes.into()))
    }

    async fn fetch(&self, url: &str) -> Result<Bytes, String> {
        let request = Request::get(url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, PROGRAM)
            .body(Empty::new())
            .map_err(|error| telemetry::chain(&error))?;
        let most = self.kind.bytes_max;
        let fetched = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| telemetry::chain(&error))?;
            if answer.status() != StatusCode::OK {
                return Err(format!("answers {}", answer.status()));
            }
            let body = Limited::new(answer.into_body(), most).collect().await;
            let body = body.map_err(|error| format!("{error} (at most {most} bytes are read)"))?;
            Ok(body.to_bytes())
        };
        let late = format!("has not answered within {FETCH_TIMEOUT:?}");
        timeout(FETCH_TIMEOUT, fetched).await.unwrap_or(Err(late))
    }

    fn warn(&self, error: String, said: &mut Option<String>) {
        if said.as_ref() == Some(&error) {
            return;
        }
        let what = self.kind.what;
        let source = self.name();
        let loaded = self.current.load();
        match loaded
            .as_ref()
            .filter(|loaded| Instant::now() < loaded.until)
        {
            Some(_) => tracing::warn!(
                source,
                error,
                "{what} can't be read; what was there before holds until it is stale"
            ),
            None => tracing::error!(
                source,
                error,
                "{what} can't be read: nobody comes in by them"
            ),
        }
        *said = Some(error);
    }

    /// Where it is, without what might be secret in a URL.
    fn name(&self) -> String {
        let name = self.source.location.to_string();
        match self.source.location {
            Location::Url(_) => name.split('?').next().unwrap_or_default().to_owned(),
            Location::File(_) => name,
        }
    }
}
