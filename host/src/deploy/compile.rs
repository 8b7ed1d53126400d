//! Artifact to component: by digest from the cache, or else compiled by a child process into the cache.
//!
//! Nothing of an artifact is parsed or compiled in this process; only images that the child made are loaded,
//! and only by `compile/load.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
    /// Belongs to the engine of [`ArtifactKind::engine`].
    pub component: Component,
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
    /// Leaves the image on disk until it is used again.
    pub(super) fn unload_pages(&self) {
        load::unload_pages(&self.component);
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

    /// Loads the image of an artifact if the cache has a sound one.
    async fn recall(
        &self,
        digest: Digest,
        began: Instant,
        cached: bool,
    ) -> Result<Option<Compiled>, CompileError> {
        let cache = Arc::clone(&self.cache);
        let engines = Arc::clone(&self.engines);
        let load = move || {
            let image = cache.find(&digest)?;
            let (kind, contracts) = (image.made.kind, image.made.contracts.clone());
            let loaded = load::component(engines.engine(kind.engine()), &image);
            Some(
                loaded
                    .map(|component| (kind, contracts, component))
                    .inspect_err(|_| cache.forget(&image.made)),
            )
        };
        match self.on_worker(load).await? {
            None => Ok(None),
            Some(Ok((kind, contracts, component))) => Ok(Some(Compiled {
                digest,
                kind,
                contracts,
                component,
                cached,
                took: began.elapsed(),
            })),
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
