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

/// Whether what is looked at again and again has changed since it was read, and is at rest: the same at two looks. What is
/// read and turns out to be bad is not due again before it changes.
#[derive(Debug)]
pub(crate) struct Rest<T> {
    seen: Option<T>,
    read: Option<T>,
}

impl<T> Default for Rest<T> {
    fn default() -> Self {
        let (seen, read) = (None, None);
        Self { seen, read }
    }
}

impl<T: Clone + PartialEq> Rest<T> {
    /// Of what has just been read as it was then.
    pub(crate) fn of(read: T) -> Self {
        Self {
            seen: Some(read.clone()),
            read: Some(read),
        }
    }

    /// Takes a look: whether it is to be read, as it is `now`. Who is `asked` does not wait until it is at rest.
    pub(crate) fn is_due(&mut self, now: &T, asked: bool) -> bool {
        let is_at_rest = self.seen.as_ref() == Some(now);
        self.seen = Some(now.clone());
        (asked || is_at_rest) && self.read.as_ref() != Some(now)
    }

    /// It was read as it was then.
    pub(crate) fn read(&mut self, then: T) {
        self.read = Some(then);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_due_once_it_is_at_rest() {
        let mut rest = Rest::of(1);
        assert!(!rest.is_due(&1, false));
        assert!(!rest.is_due(&2, false) && !rest.is_due(&3, false));
        assert!(rest.is_due(&3, false));
        // Not read yet: it still is.
        assert!(rest.is_due(&3, false));
        rest.read(3);
        assert!(!rest.is_due(&3, false) && !rest.is_due(&3, true));
        assert!(!rest.is_due(&1, false) && rest.is_due(&1, false));
    }

    #[test]
    fn who_is_asked_does_not_wait() {
        let mut rest = Rest::default();
        assert!(rest.is_due(&1, true));
        rest.read(1);
        assert!(rest.is_due(&2, true));
        assert!(rest.is_due(&2, false), "it was seen then, too");
    }
}
