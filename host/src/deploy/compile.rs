//! Artifact to component: by digest from the cache, or else compiled by a child process into the cache.
//!
//! Nothing of an artifact is parsed or compiled in this process; only images that the child made are loaded,
//! and only by `compile/load.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{fmt, io};

use tokio::sync::Semaphore;
use wasmtime::component::Component;

use crate::config;
use crate::engine::Engines;
use crate::worker::Worker;

mod artifact;
mod cache;
pub mod child;
mod componentize;
mod contracts;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod inspect;
mod load;
mod offer;
mod refused;
mod spawn;

pub use crate::worker::Panicked;
pub use artifact::{ARTIFACT_BYTES_MAX, Artifact, ArtifactKind, Digest, NotADigest};
pub use cache::{CacheDir, CacheError};
pub use componentize::component_of;
pub use contracts::Contracts;
pub(crate) use contracts::is_async;
pub use error::{CompileError, Obstacle, RefusedByChild};
pub use inspect::{Inspected, inspect};
pub use refused::{Names, Reasons, Refused};
pub use spawn::Launch;

/// Compiles artifacts, a bounded number at a time, and remembers the images across restarts.
pub struct Compiler {
    cache: Arc<CacheDir>,
    settings: config::Compile,
    engines: Arc<Engines>,
    launch: Launch,
    permits: Semaphore,
    flights: Flights,
    loaded: Arc<Loaded>,
    worker: Worker,
}

/// A component that is ready to be instantiated.
#[derive(Clone)]
pub struct Compiled {
    /// The artifact it was made from.
    pub digest: Digest,
    /// How it is served.
    pub kind: ArtifactKind,
    /// What it shares with other services.
    pub contracts: Contracts,
    /// Belongs to the engine of [`ArtifactKind::engine`]; the same one for all that use the artifact at a time.
    pub component: Arc<Component>,
    /// It came from the cache: nothing was compiled.
    pub cached: bool,
    /// How long it took, waiting for other compilations included.
    pub took: Duration,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("digest", &self.digest)
            .field("kind", &self.kind)
            .field("cached", &self.cached)
            .field("took", &self.took)
            .finish_non_exhaustive()
    }
}

impl Compiled {
    /// Leaves the image on disk until it is used again, unless others use it.
    pub(super) fn unload_pages(&self) {
        if Arc::strong_count(&self.component) == 1 {
            load::unload_pages(&self.component);
        }
    }
}

impl Compiler {
    /// A compiler that keeps its images in `cache` and loads them into `engines`.
    ///
    /// # Errors
    /// When its thread can't be started.
    pub fn new(
        cache: CacheDir,
        settings: config::Compile,
        engines: Arc<Engines>,
        launch: Launch,
    ) -> io::Result<Self> {
        Ok(Self {
            cache: Arc::new(cache),
            permits: Semaphore::new(settings.parallel.clamp(1, Semaphore::MAX_PERMITS)),
            settings,
            engines,
            launch,
            flights: Flights::default(),
            loaded: Arc::default(),
            worker: Worker::start("skep-load")?,
        })
    }

    /// The component of an artifact. With a warm cache the artifact's file is not even opened.
    ///
    /// Dropping the future kills the child, if one runs, and leaves no trace in the cache.
    ///
    /// # Errors
    /// [`CompileError`] says what is wrong with the artifact, or with the host.
    pub async fn compile(&self, artifact: &Artifact) -> Result<Compiled, CompileError> {
        let began = Instant::now();
        if let Some(found) = self.recall(artifact.digest, began, true).await? {
            return Ok(found);
        }
        let flight = self.flights.of(artifact.digest);
        let _alone = flight.lock().await;
        let _permit = self.permits.acquire().await;
        // Another service with the same artifact may have had it compiled in the meantime.
        if let Some(found) = self.recall(artifact.digest, began, true).await? {
            return Ok(found);
        }
        self.make(artifact).await?;
        let made = self.recall(artifact.digest, began, false).await?;
        Ok(made.ok_or(Obstacle::Vanished)?)
    }

    /// An artifact is gone: its image goes, too, unless the cache is shared or somebody has it compiled just now.
    pub(super) async fn collect(&self, gone: Digest) -> Result<(), CompileError> {
        let flight = self.flights.of(gone);
        let Ok(_alone) = flight.try_lock() else {
            return Ok(());
        };
        let cache = Arc::clone(&self.cache);
        let collected = self.on_worker(move || cache.collect(|artifact| *artifact != gone));
        Ok(collected
            .await?
            .map_err(|source| Obstacle::Cache { source })?)
    }

    /// Has the child compile the artifact into the cache.
    async fn make(&self, artifact: &Artifact) -> Result<(), CompileError> {
        let path = artifact.path.clone();
        let input = self
            .on_worker(move || spawn::open_artifact(&path))
            .await??;
        let image = self.cache.temporary();
        let made = spawn::compile(&self.launch, &self.settings, input, image.path()).await?;
        if made.artifact != artifact.digest {
            return Err(CompileError::Changed {
                expected: artifact.digest,
                found: made.artifact,
            });
        }
        let cache = Arc::clone(&self.cache);
        let kept = self.on_worker(move || cache.keep(&image, &made)).await?;
        Ok(kept.map_err(|source| Obstacle::Cache { source })?)
    }

    /// The component of an artifact that somebody uses already, or else of its image if the cache has a sound one.
    async fn recall(
        &self,
        digest: Digest,
        began: Instant,
        cached: bool,
    ) -> Result<Option<Compiled>, CompileError> {
        let ready = |(kind, contracts, component)| Compiled {
            digest,
            kind,
            contracts,
            component,
            cached,
            took: began.elapsed(),
        };
        let all = Arc::clone(&self.loaded);
        let cache = Arc::clone(&self.cache);
        let engines = Arc::clone(&self.engines);
        // One after the other: whoever comes second finds what the first has loaded.
        let load = move || {
            if let Some(found) = all.get(&digest) {
                return Some(Ok(found));
            }
            let image = cache.find(&digest)?;
            let (kind, contracts) = (image.made.kind, image.made.contracts.clone());
            let loaded = load::component(engines.engine(kind.engine()), &image);
            let known = loaded.map(|component| (kind, contracts, Arc::new(component)));
            match &known {
                Ok(known) => all.put(digest, known),
                Err(_) => cache.forget(&image.made),
            }
            Some(known)
        };
        match self.on_worker(load).await? {
            None => Ok(None),
            Some(Ok(known)) => Ok(Some(ready(known))),
            Some(Err(error)) if cached => {
                tracing::warn!(%digest, %error, "a compiled component in the cache is of no use; compiling it again");
                Ok(None)
            }
            Some(Err(error)) => {
                let source = Reasons::new(error.chain().map(ToString::to_string));
                Err(Obstacle::Load { source }.into())
            }
        }
    }

    async fn on_worker<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CompileError> {
        Ok(self.worker.run(work).await.map_err(Obstacle::from)?)
    }
}

/// A component with what is known of it.
type Known<C> = (ArtifactKind, Contracts, C);

/// The components that are in use. One that is loaded once has its code in memory once, and the pool's slots that it was
/// in need not be made ready for it again.
#[derive(Default)]
struct Loaded(Mutex<HashMap<Digest, Known<Weak<Component>>>>);

impl Loaded {
    fn get(&self, digest: &Digest) -> Option<Known<Arc<Component>>> {
        let loaded = self.lock();
        let (kind, contracts, component) = loaded.get(digest)?;
        Some((*kind, contracts.clone(), component.upgrade()?))
    }

    fn put(&self, digest: Digest, (kind, contracts, component): &Known<Arc<Component>>) {
        let known = (*kind, contracts.clone(), Arc::downgrade(component));
        let mut loaded = self.lock();
        loaded.retain(|_, (_, _, component)| component.strong_count() > 0);
        loaded.insert(digest, known);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Known<Weak<Component>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lock for each artifact that is being compiled, so that none is compiled twice at once.
#[derive(Default)]
struct Flights(Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>);

impl Flights {
    fn of(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&digest).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::default();
        flights.insert(digest, Arc::downgrade(&flight));
        flight
    }
}

#[cfg(test)]
mod tests;
