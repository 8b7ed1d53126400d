//! Directories that only the user who runs the host can change: what lies there is trusted.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

const MODE: u32 = 0o700;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A directory that can't be trusted, or can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Not there and can't be made, or can't be looked at.
    #[error("can't use {} for {what}: make it writable for the user who runs the host, or choose another with {flag}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What it is for.
        what: &'static str,
        /// What chooses another.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Owned by somebody else.
    #[error(
        "{} belongs to user {owner}, and {what} must belong to user {user}, who runs the host: \
         `chown {user} {}` or choose another with {flag}", path.display(), path.display()
    )]
    Owner {
        /// The directory, symlinks resolved.
        path: PathBuf,
        /// What it is for.
        what: &'static str,
        /// What chooses another.
        flag: &'static str,
        /// Who owns it.
        owner: u32,
        /// Who the host runs as.
        user: u32,
    },
    /// Others may write there.
    #[error(
        "{} can be written by others (mode {mode:o}), and {what} must be out of their reach: \
         `chmod go-w {}` or choose another with {flag}", path.display(), path.display()
    )]
    Writable {
        /// The directory, symlinks resolved.
        path: PathBuf,
        /// What it is for.
        what: &'static str,
        /// What chooses another.
        flag: &'static str,
        /// Its permission bits.
        mode: u32,
    },
}

/// Creates the directory if need be (mode 0700) and checks that only this user can write there. The path comes back
/// with symlinks resolved. `what` it is for and the `flag` that chooses another are for the errors.
///
/// # Errors
/// [`DirectoryError`] says how to mend it.
pub(crate) fn open_own(
    path: &Path,
    what: &'static str,
    flag: &'static str,
) -> Result<PathBuf, DirectoryError> {
    let unusable = |source| DirectoryError::Unusable {
        path: path.to_owned(),
        what,
        flag,
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(MODE)
        .create(path)
        .map_err(unusable)?;
    let path = path.canonicalize().map_err(unusable)?;
    let metadata = fs::metadata(&path).map_err(unusable)?;
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(DirectoryError::Owner {
            path,
            what,
            flag,
            owner: metadata.uid(),
            user,
        });
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(DirectoryError::Writable {
            path,
            what,
            flag,
            mode: metadata.mode() & 0o7777,
        });
    }
    Ok(path)
}
