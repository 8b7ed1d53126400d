//! One look at everything that services come from.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::dropin::{DropIns, default_name};
use super::error::ArriveError;
use super::look::{Look, Looker};
use super::stamp::{Now, Stamp};
use super::trail::Directories;
use super::{Candidate, Intake, Pace};
use crate::config::{ConfigError, ServiceConfig, Source, host, service, trust};
use crate::deploy::compile::Artifact;

/// What was found of a service.
#[derive(Debug)]
pub enum Found {
    /// All of it, at rest.
    Ready(Box<Candidate>),
    /// Files that may still be on their way.
    Waiting,
    /// Files that can't be deployed.
    Broken(ArriveError),
}

/// What one look found.
#[derive(Debug, Default)]
pub struct Scan {
    /// By name; that of a service whose manifest can't be read is what it was before, or the file's.
    pub services: BTreeMap<String, Found>,
    /// Places that could not be looked at.
    pub faults: Vec<ArriveError>,
    /// What is missing from `services` is not known to be gone.
    pub is_partial: bool,
    /// The `skep.toml` that lists services may still be on its way.
    is_awaiting_list: bool,
    pub(super) directories: Directories,
}

impl Scan {
    /// Something may still be on its way.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let is_waiting = |found| matches!(found, &Found::Waiting);
        self.is_awaiting_list || self.services.values().any(is_waiting)
    }
}

/// Files that say they are a service.
struct Claim {
    name: String,
    origin: PathBuf,
    found: Found,
}

/// Looks at everything, again and again; reads only what has changed.
#[derive(Debug)]
pub struct Scanner {
    intake: Intake,
    looker: Looker,
    /// The names that manifests gave when they could last be read.
    names: HashMap<PathBuf, String>,
}

impl Scanner {
    /// A scanner that has seen nothing yet.
    #[must_use]
    pub fn new(intake: Intake, pace: Pace) -> Self {
        Self {
            intake,
            looker: Looker::new(pace),
            names: HashMap::new(),
        }
    }

    /// Files that are still like this when they are looked at are complete.
    pub(super) fn complete(&mut self, complete: HashSet<Stamp>) {
        self.looker.complete = complete;
    }

    /// Takes a look.
    pub fn scan(&mut self, now: Now) -> Scan {
        self.looker.begin();
        let mut scan = Scan::default();
        let mut claims = Vec::new();
        match self.intake.source.clone() {
            Source::Folder(folder) => self.folder(&folder, now, &mut scan, &mut claims),
            Source::Service(manifest) => claims.extend(self.manifest(&manifest, now, &mut scan).0),
            Source::File(file) => claims.extend(self.file(&file, now, &mut scan)),
            Source::Manifest(manifest) => {
                self.listed(&manifest, now, &mut scan, &mut claims);
                if let Some(folder) = self.intake.folder.clone() {
                    self.folder(&folder, now, &mut scan, &mut claims);
                }
            }
        }
        scan.services = by_name(claims);
        scan
    }

    fn folder(&mut self, folder: &Path, now: Now, scan: &mut Scan, claims: &mut Vec<Claim>) {
        scan.directories.add_trail(folder);
        scan.directories.add_every(folder);
        let found = match DropIns::list(folder) {
            Ok(found) => found,
            Err(source) => {
                scan.is_partial = true;
                scan.faults.push(ArriveError::Folder {
                    path: folder.to_owned(),
                    source,
                });
                return;
            }
        };
        for folder in &found.folders {
            scan.directories.add_every(folder);
        }
        self.names
            .retain(|manifest, _| found.manifests.contains(manifest));
        let mut described = BTreeSet::new();
        for manifest in &found.manifests {
            described.insert(manifest.with_extension("wasm"));
            let (claim, component) = self.manifest(manifest, now, scan);
            described.extend(component);
            claims.extend(claim);
        }
        for component in found
            .components
            .iter()
            .filter(|path| !described.contains(*path))
        {
            let config = service::without_manifest(component);
            claims.extend(self.bare(component, config, now, scan));
        }
    }

    /// A manifest's claim, and the component it names.
    fn manifest(
        &mut self,
        path: &Path,
        now: Now,
        scan: &mut Scan,
    ) -> (Option<Claim>, Option<PathBuf>) {
        scan.directories.add_trail(path);
        let name = self
            .names
            .get(path)
            .cloned()
            .unwrap_or_else(|| default_name(path));
        let claim = |name, found| {
            Some(Claim {
                name,
                origin: path.to_owned(),
                found,
            })
        };
        match self.looker.text(path, now) {
            Look::Ready(()) => {}
            Look::Waiting => return (claim(name, Found::Waiting), None),
            Look::Absent => return (None, None),
            Look::Broken(error) => return (claim(name, Found::Broken(error)), None),
        }
        let config = service::from_manifest(path, None)
            .and_then(|config| service::fits(&config, &self.intake.pool).map(|()| config));
        match config {
            Ok(config) => {
                let name = config.name.to_string();
                self.names.insert(path.to_owned(), name.clone());
                let component = config.target.component().map(Path::to_owned);
                (claim(name, self.target(config, now, scan)), component)
            }
            Err(error) => (claim(name, self.misdescribed(path, error, now, scan)), None),
        }
    }

    /// A component that no manifest describes.
    fn bare(
        &mut self,
        path: &Path,
        config: Result<ServiceConfig, ConfigError>,
        now: Now,
        scan: &mut Scan,
    ) -> Option<Claim> {
        let name = default_name(path);
        let found = match config {
            Ok(config) => self.target(config, now, scan),
            Err(error) => Found::Broken(error.into()),
        };
        Some(Claim {
            name,
            origin: path.to_owned(),
            found,
        })
    }

    fn file(&mut self, path: &Path, now: Now, scan: &mut Scan) -> Option<Claim> {
        scan.directories.add_trail(path);
        if std::fs::symlink_metadata(path).is_err() {
            return None;
        }
        self.bare(path, service::single(path), now, scan)
    }

    /// The services that a `skep.toml` lists itself.
    fn listed(&mut self, path: &Path, now: Now, scan: &mut Scan, claims: &mut Vec<Claim>) {
        scan.directories.add_trail(path);
        let listed = match self.looker.text(path, now) {
            Look::Ready(()) => host::listed(path, &self.intake.pool).map_err(ArriveError::from),
            Look::Broken(error) => Err(error),
            // An editor may be replacing it.
            Look::Waiting | Look::Absent => {
                scan.is_partial = true;
                scan.is_awaiting_list = true;
                return;
            }
        };
        match listed {
            Err(error) => {
                scan.is_partial = true;
                scan.faults.push(error);
            }
            Ok(services) => claims.extend(services.into_iter().map(|service| {
                let (name, found) = match service {
                    Ok(config) => (config.name.to_string(), self.target(config, now, scan)),
                    Err((name, error)) => {
                        // Which service the entry was is not known, so that none is known to be gone.
                        scan.is_partial |= name.contains('[');
                        (name, self.misdescribed(path, error, now, scan))
                    }
                };
                Claim {
                    name,
                    origin: path.to_owned(),
                    found,
                }
            })),
        }
    }

    /// What lies beside a component, if anybody wants to know. One that can't be read is none.
    fn signature(&self, component: &Path) -> Option<String> {
        if !self.intake.is_wary {
            return None;
        }
        let file = File::open(trust::signature_path(component)).ok()?;
        let mut text = String::new();
        let most = trust::SIGNATURE_CHARS_MAX as u64;
        file.take(most).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// What answers, if all of it is there. What is no component is described in whole.
    fn target(&mut self, config: ServiceConfig, now: Now, scan: &mut Scan) -> Found {
        let Some(path) = config.target.component().map(Path::to_owned) else {
            let artifact = Artifact::described(&config.target);
            return Found::Ready(Box::new(Candidate {
                config,
                artifact,
                signature: None,
            }));
        };
        scan.directories.add_trail(&path);
        match self.looker.component(&path, now) {
            Look::Ready(digest) => {
                let signature = self.signature(&path);
                let artifact = Artifact { digest, path };
                Found::Ready(Box::new(Candidate {
                    config,
                    artifact,
                    signature,
                }))
            }
            // It was there a moment ago.
            Look::Waiting | Look::Absent => Found::Waiting,
            Look::Broken(error) => Found::Broken(error),
        }
    }

    /// A manifest that is at fault, unless its component may only be late.
    fn misdescribed(
        &self,
        manifest: &Path,
        error: ConfigError,
        now: Now,
        scan: &mut Scan,
    ) -> Found {
        if let ConfigError::NoComponent { path, .. } = &error {
            scan.directories.add_trail(path);
            if self.intake.awaited.has(path) || !self.looker.is_settled(manifest, now) {
                return Found::Waiting;
            }
        }
        Found::Broken(error.into())
    }
}

/// Of several claims to a name none is taken.
fn by_name(claims: Vec<Claim>) -> BTreeMap<String, Found> {
    let mut services = BTreeMap::<String, Vec<Claim>>::new();
    for claim in claims {
        services.entry(claim.name.clone()).or_default().push(claim);
    }
    let one = |(name, mut claims): (String, Vec<Claim>)| match claims.pop() {
        Some(claim) if claims.is_empty() => (name, claim.found),
        last => {
            let origins = claims
                .into_iter()
                .chain(last)
                .map(|claim| claim.origin)
                .collect();
            (
                name.clone(),
                Found::Broken(ArriveError::Duplicate { name, origins }),
            )
        }
    };
    services.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests;
