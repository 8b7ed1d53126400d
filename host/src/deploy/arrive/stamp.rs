//! A file's identity and time of last change, to tell without reading whether it is still what it was.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

/// When a look is taken: on the clock that files are stamped by, and on one that never jumps.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// What files are stamped by.
    pub wall: SystemTime,
    /// What waiting is measured by.
    pub steady: Instant,
}

impl Now {
    /// This moment.
    #[must_use]
    pub fn get() -> Self {
        Self {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }
}

/// Differs after every write, replacement and rename.
///
/// The status change time can't be set by a program, unlike the modification time: a copy that keeps the
/// old times still has a new stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

impl Stamp {
    /// Of a file, by its metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified_ns: (metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// How long ago the file changed. Zero if that is in the future (another machine's clock).
    pub(super) fn age(&self, now: SystemTime) -> Duration {
        let seconds = u64::try_from(self.changed_ns.0).unwrap_or(0);
        let nanos = u32::try_from(self.changed_ns.1).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        now.duration_since(changed).unwrap_or_default()
    }
}
