//! `skep up --watch`: builds a service whenever its sources change, one service at a time.
//!
//! Serves nothing: what was built is a changed file in the folder, and deployed as any other. A build that fails leaves
//! the component as it was.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::cli::build::Leash;
use crate::cli::build::make::make;
use crate::cli::build::sources::{Seen, Sources};
use crate::config::build::{self, Build};
use crate::deploy::arrive::{Changes, Directories, Hush, Intake, Pace};
use crate::telemetry::chain;

/// Builds until it is dropped; a build that is under way is then ended.
#[derive(Debug)]
pub(super) struct Rebuild {
    hush: Hush,
    leash: Arc<Leash>,
    thread: Option<JoinHandle<()>>,
}

impl Rebuild {
    /// Starts to watch the sources of all services, and to build those that are not built yet: they are awaited when this
    /// returns.
    ///
    /// # Errors
    /// When its thread can't be started.
    pub(super) fn start(intake: Intake) -> io::Result<Self> {
        let changes = Changes::new(Pace::default());
        let hush = changes.hush();
        let leash = Arc::<Leash>::default();
        let mut builder = Builder {
            intake,
            changes,
            leash: Arc::clone(&leash),
            services: BTreeMap::new(),
        };
        builder.look();
        let thread = thread::Builder::new()
            .name("skep-build".to_owned())
            .spawn(move || builder.run())?;
        Ok(Self {
            hush,
            leash,
            thread: Some(thread),
        })
    }
}

impl Drop for Rebuild {
    fn drop(&mut self) {
        self.hush.now();
        self.leash.cut();
        // It panicked, then, and the log says why.
        self.thread.take().map(JoinHandle::join);
    }
}

struct Builder {
    intake: Intake,
    changes: Changes,
    leash: Arc<Leash>,
    /// By their manifests.
    services: BTreeMap<PathBuf, Service>,
}

/// A service with sources.
struct Service {
    build: Build,
    now: Sources,
    /// What they were when a build of them last began, however it ended; None before the first.
    built: Option<Sources>,
    /// When that was.
    began: Option<Instant>,
}

impl Builder {
    fn run(mut self) {
        let mut began = Instant::now();
        if self.services.is_empty() {
            tracing::warn!(
                "there is nothing to build: a service has sources if its service.toml has a Cargo.toml beside it, or a [build]"
            );
        }
        // What changes during a build is seen by the look after it: one more build, however much changed.
        while !self.leash.is_cut() && (self.build_next() || self.changes.wait(began)) {
            began = Instant::now();
            self.look();
        }
    }

    fn look(&mut self) {
        loop {
            let mut directories = Directories::default();
            if let Some(folder) = self.intake.folder() {
                directories.add_every(folder);
            }
            self.look_at_all(&mut directories);
            // What changed in a directory before it was listened to is only seen by looking again.
            if !self.changes.listen(&directories) {
                return;
            }
        }
    }

    fn look_at_all(&mut self, directories: &mut Directories) {
        let manifests = self.intake.manifests();
        for gone in self
            .services
            .extract_if(.., |manifest, _| !manifests.contains(manifest))
        {
            self.intake.awaited.remove(&gone.1.build.component);
        }
        for manifest in manifests {
            if let Some(folder) = manifest.parent() {
                directories.add_every(folder);
            }
            let known = self.services.get(&manifest);
            let build = match build::load(&manifest) {
                Ok(build) => build,
                // The host's own look says what is wrong with it; until it is right, it is built as before.
                Err(_) => known.map(|service| service.build.clone()),
            };
            let Some(build) = build else {
                if let Some(service) = self.services.remove(&manifest) {
                    self.intake.awaited.remove(&service.build.component);
                }
                continue;
            };
            let seen = Seen::of(&build);
            for folder in &seen.folders {
                directories.add_every(folder);
            }
            self.note(manifest, build, seen);
        }
    }

    fn note(&mut self, manifest: PathBuf, build: Build, seen: Seen) {
        match self.services.get_mut(&manifest) {
            Some(service) => {
                if service.build != build {
                    self.intake.awaited.remove(&service.build.component);
                    service.built = None;
                    service.build = build;
                }
                service.now = seen.sources;
            }
            None => {
                let is_due = seen.outdates(&build.component);
                if is_due {
                    self.intake.awaited.add(build.component.clone());
                }
                let service = Service {
                    build,
                    built: (!is_due).then(|| seen.sources.clone()),
                    now: seen.sources,
                    began: None,
                };
                self.services.insert(manifest, service);
            }
        }
    }

    /// Builds the service that has waited longest, if any has to be built.
    fn build_next(&mut self) -> bool {
        let due = self
            .services
            .values_mut()
            .filter(|service| service.built.as_ref() != Some(&service.now))
            .min_by_key(|service| service.began);
        let Some(service) = due else {
            return false;
        };
        service.built = Some(service.now.clone());
        service.began = Some(Instant::now());
        let name = &service.build.name;
        tracing::debug!(service = %name, "building");
        let made = make(&service.build, Some(&self.leash));
        self.intake.awaited.remove(&service.build.component);
        match made {
            Ok(built) => {
                let seconds = built.took.as_secs_f64();
                tracing::info!(service = %name, "{name} built in {seconds:.1} s");
            }
            // The compiler was ended, or kept from starting: that is nobody's mistake.
            Err(_) if self.leash.is_cut() => {}
            Err(error) => {
                let error = chain(&error);
                tracing::error!(service = %name, error, "build failed; what runs goes on running");
            }
        }
        true
    }
}
