//! The directory of compiled images: what is in it is native code, so only its owner may write there.
//!
//! `ARTIFACT-ENGINE.json` says which image an artifact has; `IMAGE.cwasm` is the image, named by its own
//! digest. Files appear by rename, after their bytes are synced, and are never written in place: hosts may
//! share a cache, and kill -9 at any point leaves nothing that is taken for an image and isn't. What nobody needs is only
//! deleted in a cache that is one host's own.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::artifact::Digest;
use super::child::{IMAGE_MODE, Made};
use super::refused::Reasons;
use crate::directory::{self, DirectoryError};
use crate::engine;
use crate::state::State;

const FILE_ACCESS_BY_OTHERS: u32 = 0o077;
const INDEX_BYTES_MAX: u64 = 64 << 10;
/// What an index says. Part of its name: one that says less is not found.
const INDEX_FORMAT: &str = "2";
const FINGERPRINT_HEX: usize = 16;
const KINDS: [engine::Kind; 2] = [engine::Kind::Sync, engine::Kind::Concurrent];
const TEMP_PREFIX: &str = ".tmp-";
const INDEX_SUFFIX: &str = ".json";
const IMAGE_SUFFIX: &str = ".cwasm";

/// A temporary file that is older was left by a host that was killed: one lives for seconds.
const TEMP_AGE_MAX: Duration = Duration::from_mins(10);

/// The cache's directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It can't be had, or can't be trusted.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It can't be listed.
    #[error("can't read {}", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no engine to compile for.
    #[error("can't tell which compiled components fit this machine")]
    Engine {
        /// The engine's reasons.
        source: Reasons,
    },
}

/// A checked directory of compiled images.
#[derive(Debug)]
pub struct CacheDir {
    path: PathBuf,
    temporaries: AtomicU64,
    /// Of the engines, in the order of `KINDS`.
    fingerprints: [String; 2],
    /// Nobody else's images lie there.
    is_own: bool,
}

/// An image whose owner, permissions and bytes have been checked.
#[derive(Debug)]
pub(super) struct Verified {
    file: File,
    pub(super) made: Made,
}

impl Verified {
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// A name in the cache for an image in the making; the file, if any, goes with it.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already when it was renamed, or when the child never wrote it.
        fs::remove_file(&self.0).ok();
    }
}

impl CacheDir {
    /// Creates the directory if need be (mode 0700), checks that only this user can write there, and sweeps
    /// what killed hosts left.
    ///
    /// # Errors
    /// [`CacheError`] says how to mend it.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let path = directory::open_own(path, "compiled components", "--cache")?;
        let cache = Self {
            path,
            temporaries: AtomicU64::new(0),
            fingerprints: [fingerprint(KINDS[0])?, fingerprint(KINDS[1])?],
            is_own: false,
        };
        cache
            .sweep(SystemTime::now())
            .map_err(|source| CacheError::Unreadable {
                path: cache.path.clone(),
                source,
            })?;
        Ok(cache)
    }

    /// The same, if it lies in the host's own state folder: images go with their artifacts from now on, and those that can
    /// never be loaded again are deleted, since their artifacts are gone or other engines made them.
    ///
    /// # Errors
    /// When it can't be listed.
    pub fn in_state(mut self, state: &State) -> Result<Self, CacheError> {
        self.is_own = self.path.starts_with(state.folder());
        self.collect(|artifact| state.artifacts.has(artifact))
            .map_err(|source| CacheError::Unreadable {
                path: self.path.clone(),
                source,
            })?;
        Ok(self)
    }

    fn sweep(&self, now: SystemTime) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if !entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(TEMP_PREFIX.as_bytes())
            {
                continue;
            }
            let age = entry.metadata().and_then(|metadata| metadata.modified());
            if age.is_ok_and(|made| now.duration_since(made).is_ok_and(|age| age > TEMP_AGE_MAX)) {
                fs::remove_file(entry.path()).ok();
            }
        }
        Ok(())
    }

    /// A name that no other deployment or host uses.
    pub(super) fn temporary(&self) -> Temporary {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        Temporary(self.path.join(format!(
            "{TEMP_PREFIX}{}-{nanos}-{number}",
            std::process::id()
        )))
    }

    /// The image of an artifact, if a sound one is there. Unsound entries are reported and removed.
    pub(super) fn find(&self, artifact: &Digest) -> Option<Verified> {
        KINDS.into_iter().find_map(|kind| {
            let index = self.index_path(artifact, kind);
            match self.verify(artifact, kind, &index) {
                Ok(verified) => Some(verified),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => {
                    tracing::warn!(%artifact, %error, "a compiled component in the cache is damaged; compiling it again");
                    fs::remove_file(&index).ok();
                    None
                }
            }
        })
    }

    fn verify(&self, artifact: &Digest, kind: engine::Kind, index: &Path) -> io::Result<Verified> {
        let made = read_index(index)?;
        if made.artifact != *artifact || made.kind.engine() != kind {
            return Err(io::Error::other("the index is about another artifact"));
        }
        let image = self.image_path(&made.image);
        // An index without its image is damage, not absence: it has to be removed.
        let mut file =
            open_own(&image).map_err(|error| io::Error::other(format!("image: {error}")))?;
        let (digest, bytes) = Digest::of_reader(&mut file)?;
        if digest != made.image || bytes != made.image_bytes {
            fs::remove_file(&image).ok();
            return Err(io::Error::other(
                "the image's bytes are not those that were compiled",
            ));
        }
        Ok(Verified { file, made })
    }

    /// Makes an image that the child wrote part of the cache.
    pub(super) fn keep(&self, image: &Temporary, made: &Made) -> io::Result<()> {
        fs::rename(image.path(), self.image_path(&made.image))?;
        let index = self.temporary();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(IMAGE_MODE)
            .open(index.path())?;
        file.write_all(serde_json::to_string(made)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(
            index.path(),
            self.index_path(&made.artifact, made.kind.engine()),
        )?;
        File::open(&self.path)?.sync_all()
    }

    /// Deletes the images of artifacts that are not wanted, of other engines, and those that no artifact has. Not to be
    /// called while an image is being kept.
    pub(super) fn collect(&self, is_wanted: impl Fn(&Digest) -> bool) -> io::Result<()> {
        if !self.is_own {
            return Ok(());
        }
        let (mut named, mut images) = (BTreeSet::new(), Vec::new());
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let name = name.to_str().unwrap_or_default();
            let path = self.path.join(name);
            if let Some((artifact, fingerprint)) = index_name(name) {
                let is_loaded = self.fingerprints.iter().any(|own| own == fingerprint);
                match read_index(&path) {
                    Ok(made) if is_loaded && is_wanted(&artifact) => drop(named.insert(made.image)),
                    _ => drop(fs::remove_file(&path)),
                }
            } else if let Some(image) = name.strip_suffix(IMAGE_SUFFIX).and_then(digest) {
                images.push(image);
            }
        }
        for image in images.iter().filter(|image| !named.contains(image)) {
            fs::remove_file(self.image_path(image)).ok();
            tracing::debug!(%image, "a compiled component that nobody needs was deleted");
        }
        Ok(())
    }

    /// Forgets an image that the engine refuses although its bytes are right.
    pub(super) fn forget(&self, made: &Made) {
        fs::remove_file(self.index_path(&made.artifact, made.kind.engine())).ok();
        fs::remove_file(self.image_path(&made.image)).ok();
    }

    fn index_path(&self, artifact: &Digest, kind: engine::Kind) -> PathBuf {
        let [sync, concurrent] = &self.fingerprints;
        let fingerprint = match kind {
            engine::Kind::Sync => sync,
            engine::Kind::Concurrent => concurrent,
        };
        self.path
            .join(format!("{}-{fingerprint}{INDEX_SUFFIX}", artifact.hex()))
    }

    fn image_path(&self, image: &Digest) -> PathBuf {
        self.path.join(format!("{}{IMAGE_SUFFIX}", image.hex()))
    }
}

/// The artifact and the fingerprint in an index's name.
fn index_name(name: &str) -> Option<(Digest, &str)> {
    let (artifact, fingerprint) = name.strip_suffix(INDEX_SUFFIX)?.split_once('-')?;
    (fingerprint.len() == FINGERPRINT_HEX).then_some((digest(artifact)?, fingerprint))
}

fn digest(hex: &str) -> Option<Digest> {
    format!("sha256:{hex}").parse().ok()
}

fn read_index(index: &Path) -> io::Result<Made> {
    let mut text = String::new();
    open_own(index)?
        .take(INDEX_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// Of the engine and of the index: a part of a file's name, whatever the engine's own is written like.
fn fingerprint(kind: engine::Kind) -> Result<String, CacheError> {
    let fingerprint = engine::fingerprint(kind).map_err(|error| CacheError::Engine {
        source: Reasons::new(error.chain().map(ToString::to_string)),
    })?;
    let mut hex = Digest::of(format!("{INDEX_FORMAT} {fingerprint}").as_bytes()).hex();
    hex.truncate(FINGERPRINT_HEX);
    Ok(hex)
}

/// Opens a regular file of this user that nobody else has access to; never follows a symlink.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "the file belongs to user {}",
            metadata.uid()
        )));
    }
    if metadata.mode() & FILE_ACCESS_BY_OTHERS != 0 {
        return Err(io::Error::other(format!(
            "others have access to the file (mode {:o})",
            metadata.mode() & 0o7777
        )));
    }
    Ok(file)
}

#[cfg(test)]
mod tests;
