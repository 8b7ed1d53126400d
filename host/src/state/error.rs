//! What can be wrong with a state folder, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::directory::DirectoryError;

/// The state folder can't be used, or not for this.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder itself.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Two hosts would overwrite what the other remembers.
    #[error(
        "{} is in use by another host{}: stop it, or choose another folder with --state", folder.display(),
        pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    Busy {
        /// The folder.
        folder: PathBuf,
        /// The other host's process, if it said so.
        pid: Option<u32>,
    },
    /// A file in it.
    #[error("{}: can't be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database is not what was written.
    #[error(
        "{} is damaged ({detail}): restore it from a backup and delete the file of its name with -wal, or move it away \
         and start again; services that come from files are then deployed anew, and those that were sent to the admin \
         API have to be sent again", path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A database of something else.
    #[error(
        "{} is no database of this host: move it away, or choose another folder with --state", path.display()
    )]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// A database of a later host.
    #[error(
        "{} was written by a newer version of skep (format {found}; this one knows up to {known}): run that version, or \
         choose another folder with --state", path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// It can't be read or written now.
    #[error("the state folder's database can't be used; is the disk full, or read-only?")]
    Database(#[source] rusqlite::Error),
    /// A record that this host can't make sense of.
    #[error(
        "the state folder's record of revision {number} of {service} can't be read: deploy it again"
    )]
    Record {
        /// The service.
        service: String,
        /// The revision.
        number: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// Its thread can't be started.
    #[error("the state folder's thread can't be started")]
    Thread(#[source] io::Error),
    /// The host is at fault.
    #[error("the host failed at its state folder, which is a bug; the log has more")]
    Panicked,
}

impl StateError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
