//! Components by their digest. A file that is there is whole: it appears by rename, after its bytes are synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::error::StateError;
use crate::deploy::compile::{ARTIFACT_BYTES_MAX, Artifact, Digest};

const NAME: &str = "artifacts";
const TEMP_PREFIX: &str = ".tmp-";
const BUFFER_BYTES: usize = 128 * 1024;

/// A component could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The folder does not take it.
    #[error("the component can't be kept in {}; is the disk full, or read-only?", folder.display())]
    Unwritable {
        /// Where artifacts are kept.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The component's own file.
    #[error("{}: can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it was said to be.
    #[error("the component has the digest {found}, not {expected}: it has changed on its way")]
    Changed {
        /// What was said.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// It has too many bytes.
    #[error("components of more than {ARTIFACT_BYTES_MAX} bytes are not taken")]
    TooLarge,
}

/// The folder. Clones are of the same one.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: Arc<Path>,
    temporaries: Arc<AtomicU64>,
    /// Who needs an artifact that no revision has yet.
    held: Arc<Mutex<BTreeMap<Digest, usize>>>,
}

/// Keeps an artifact from being collected.
#[derive(Debug)]
pub struct Held {
    digest: Digest,
    held: Arc<Mutex<BTreeMap<Digest, usize>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.digest);
            }
        }
    }
}

/// A component that is arriving, a piece at a time.
#[derive(Debug)]
pub struct Incoming {
    artifacts: Artifacts,
    temporary: Temporary,
    file: File,
    hasher: Sha256,
    bytes: u64,
}

/// A name for a file in the making; the file goes with it unless it was renamed.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

impl Artifacts {
    pub(super) fn open(state: &Path) -> Result<Self, StateError> {
        let folder = state.join(NAME);
        let fail = |source| StateError::file(&folder, source);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(fail)?;
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            // What a killed host left: nobody else writes here.
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(TEMP_PREFIX.as_bytes())
            {
                fs::remove_file(entry.path()).ok();
            }
        }
        Ok(Self {
            folder: folder.into(),
            temporaries: Arc::default(),
            held: Arc::default(),
        })
    }

    /// Where the artifact is, if it is here.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}.wasm", digest.hex()))
    }

    /// Whether it is here.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Keeps the artifact from being collected for as long as the guard lives.
    #[must_use]
    pub fn hold(&self, digest: Digest) -> Held {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held.entry(digest).or_default() += 1;
        Held {
            digest,
            held: self.held.clone(),
        }
    }

    /// Takes a copy of an artifact's file, unless it has a sound one.
    ///
    /// # Errors
    /// When either file can't be used, or the artifact's has changed.
    pub fn keep(&self, artifact: &Artifact) -> Result<(), ArtifactError> {
        if self.is_sound(&artifact.digest) {
            return Ok(());
        }
        let unreadable = |source| ArtifactError::Unreadable {
            path: artifact.path.clone(),
            source,
        };
        let mut from = File::open(&artifact.path).map_err(unreadable)?;
        let mut incoming = self.incoming()?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => incoming.write(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        incoming.finish(Some(artifact.digest)).map(drop)
    }

    /// The bytes of an artifact's file, if they are still its.
    ///
    /// # Errors
    /// When they can't be read or are others.
    pub fn read(&self, artifact: &Artifact) -> Result<Vec<u8>, ArtifactError> {
        let unreadable = |source| ArtifactError::Unreadable {
            path: artifact.path.clone(),
            source,
        };
        let file = File::open(&artifact.path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(ARTIFACT_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let (expected, found) = (artifact.digest, Digest::of(&bytes));
        if found == expected {
            Ok(bytes)
        } else {
            Err(ArtifactError::Changed { expected, found })
        }
    }

    /// Who vouched for an artifact when it was deployed.
    #[must_use]
    pub fn signature(&self, digest: &Digest) -> Option<String> {
        fs::read_to_string(self.signature_path(digest)).ok()
    }

    /// Keeps a signature for as long as its artifact.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn keep_signature(&self, digest: &Digest, signature: &str) -> Result<(), ArtifactError> {
        if self.signature(digest).as_deref() == Some(signature) {
            return Ok(());
        }
        let temporary = self.temporary();
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary.0)?;
            file.write_all(signature.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary.0, self.signature_path(digest))
        };
        write().map_err(|source| self.unwritable(source))
    }

    fn signature_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}.sig", digest.hex()))
    }

    fn temporary(&self) -> Temporary {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        Temporary(self.folder.join(format!("{TEMP_PREFIX}{number}")))
    }

    fn is_sound(&self, digest: &Digest) -> bool {
        let found = File::open(self.path(digest)).and_then(Digest::of_reader);
        found.is_ok_and(|(found, _)| found == *digest)
    }

    /// Begins to take a component.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn incoming(&self) -> Result<Incoming, ArtifactError> {
        let temporary = self.temporary();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary.0)
            .map_err(|source| self.unwritable(source))?;
        Ok(Incoming {
            artifacts: self.clone(),
            temporary,
            file,
            hasher: Sha256::new(),
            bytes: 0,
        })
    }

    fn unwritable(&self, source: io::Error) -> ArtifactError {
        ArtifactError::Unwritable {
            folder: self.folder.to_path_buf(),
            source,
        }
    }

    /// Deletes what is neither `needed` nor held, and says what that was.
    pub(super) fn collect(&self, needed: &BTreeSet<Digest>) -> Vec<Digest> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            // A signature may have come before a component that was not kept.
            let digest = name
                .strip_suffix(".wasm")
                .or_else(|| name.strip_suffix(".sig"));
            let digest = digest.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            let Some(digest) = digest else { continue };
            let is_needed = needed.contains(&digest) || held.contains_key(&digest);
            let is_gone = !is_needed && fs::remove_file(entry.path()).is_ok();
            if is_gone && name.ends_with(".wasm") {
                gone.push(digest);
            }
        }
        gone
    }
}

impl Incoming {
    /// Takes some bytes.
    ///
    /// # Errors
    /// When they are too many or can't be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > ARTIFACT_BYTES_MAX {
            return Err(ArtifactError::TooLarge);
        }
        self.hasher.update(bytes);
        let written = self.file.write_all(bytes);
        written.map_err(|source| self.artifacts.unwritable(source))
    }

    /// Keeps what came, if it is what was `expected`. The guard is for until a revision has it.
    ///
    /// # Errors
    /// When it can't be kept, or is something else.
    pub fn finish(self, expected: Option<Digest>) -> Result<(Digest, Held), ArtifactError> {
        let found: [u8; 32] = self.hasher.finalize().into();
        let found = Digest::from(found);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(ArtifactError::Changed { expected, found });
        }
        let held = self.artifacts.hold(found);
        let place = || {
            self.file.sync_all()?;
            fs::rename(&self.temporary.0, self.artifacts.path(&found))?;
            File::open(&self.artifacts.folder)?.sync_all()
        };
        place().map_err(|source| self.artifacts.unwritable(source))?;
        Ok((found, held))
    }
}
