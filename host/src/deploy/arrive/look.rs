//! One file at a time: is it whole and at rest, and what is its digest. Never waits for a file.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Seek};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::OFlags;

use super::Pace;
use super::error::ArriveError;
use super::stamp::{Now, Stamp};
use super::whole::{Extent, extent};
use crate::deploy::compile::{ARTIFACT_BYTES_MAX, Digest};

/// What a look at a file found.
#[derive(Debug)]
pub(super) enum Look<T> {
    /// It can be taken.
    Ready(T),
    /// It may still be on its way: look again.
    Waiting,
    /// It is not there.
    Absent,
    /// It can't be taken as it is.
    Broken(ArriveError),
}

/// What is remembered of a file.
#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    since: Instant,
    is_complete: bool,
    digest: Option<Digest>,
    round: u64,
}

/// Looks at files, and remembers digests for as long as files don't change.
#[derive(Debug)]
pub(super) struct Looker {
    pace: Pace,
    seen: HashMap<PathBuf, Seen>,
    /// What files were when their writers were done with them.
    pub(super) complete: HashSet<Stamp>,
    round: u64,
}

impl Looker {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            seen: HashMap::new(),
            complete: HashSet::new(),
            round: 0,
        }
    }

    /// Begins a round of looks; what is not looked at in two rounds is forgotten.
    pub(super) fn begin(&mut self) {
        let round = self.round;
        self.seen.retain(|_, seen| seen.round == round);
        self.round += 1;
    }

    /// Whether a text file is at rest; reading it is the caller's.
    pub(super) fn text(&mut self, path: &Path, now: Now) -> Look<()> {
        let metadata = match self.regular(path, now) {
            Look::Ready(metadata) => metadata,
            Look::Waiting => return Look::Waiting,
            Look::Absent => return Look::Absent,
            Look::Broken(error) => return Look::Broken(error),
        };
        let (_, is_at_rest) = self.note(path, Stamp::of(&metadata), now);
        if is_at_rest {
            Look::Ready(())
        } else {
            Look::Waiting
        }
    }

    /// The digest of a component that has arrived.
    pub(super) fn component(&mut self, path: &Path, now: Now) -> Look<Digest> {
        let metadata = match self.regular(path, now) {
            Look::Ready(metadata) => metadata,
            Look::Waiting => return Look::Waiting,
            Look::Absent => return Look::Absent,
            Look::Broken(error) => return Look::Broken(error),
        };
        let stamp = Stamp::of(&metadata);
        let (known, is_at_rest) = self.note(path, stamp, now);
        if let Some(digest) = known {
            return Look::Ready(digest);
        }
        if !is_at_rest {
            return Look::Waiting;
        }
        if metadata.len() > ARTIFACT_BYTES_MAX {
            return Look::Broken(ArriveError::TooLarge {
                path: path.to_owned(),
                bytes: metadata.len(),
            });
        }
        match read(path, stamp) {
            Ok(Arrived::Whole(digest)) => {
                // A young file may change once more within one tick of the clock that stamps it.
                let is_young = self.age(path, &stamp, now) < self.pace.quiet;
                if let Some(seen) = self.seen.get_mut(path).filter(|_| !is_young) {
                    seen.digest = Some(digest);
                }
                Look::Ready(digest)
            }
            Ok(Arrived::Cut(_)) if self.age(path, &stamp, now) < self.pace.settle => Look::Waiting,
            Ok(Arrived::Cut(extent)) => Look::Broken(ArriveError::Cut {
                path: path.to_owned(),
                extent: extent.into(),
            }),
            Ok(Arrived::Changed) => Look::Waiting,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Look::Absent,
            Err(source) => Look::Broken(ArriveError::Unreadable {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The metadata of a regular file at the end of whatever links.
    fn regular(&self, path: &Path, now: Now) -> Look<Metadata> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Look::Ready(metadata),
            Ok(metadata) => Look::Broken(ArriveError::NotAFile {
                path: path.to_owned(),
                what: what(&metadata),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match fs::symlink_metadata(path) {
                    Ok(link) if Stamp::of(&link).age(now.wall) < self.pace.settle => Look::Waiting,
                    Ok(_) => Look::Broken(ArriveError::Dangling {
                        path: path.to_owned(),
                    }),
                    Err(_) => Look::Absent,
                }
            }
            Err(source) => Look::Broken(ArriveError::Unreadable {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Remembers the stamp; says the digest, if it is known, and whether the file is at rest.
    fn note(&mut self, path: &Path, stamp: Stamp, now: Now) -> (Option<Digest>, bool) {
        let round = self.round;
        let new = || Seen {
            stamp,
            since: now.steady,
            is_complete: false,
            digest: None,
            round,
        };
        let seen = self.seen.entry(path.to_owned()).or_insert_with(new);
        if seen.stamp != stamp {
            *seen = new();
        }
        seen.round = round;
        seen.is_complete |= self.complete.contains(&stamp);
        let (digest, is_complete) = (seen.digest, seen.is_complete);
        let is_at_rest = is_complete || self.age(path, &stamp, now) >= self.pace.quiet;
        (digest, is_at_rest)
    }

    /// How long the file has been as it is, by its own stamp or by what was seen, whichever is longer: the
    /// clock that stamps it may be ahead.
    pub(super) fn age(&self, path: &Path, stamp: &Stamp, now: Now) -> std::time::Duration {
        let seen = self.seen.get(path).filter(|seen| seen.stamp == *stamp);
        let watched = seen.map_or_else(Default::default, |seen| {
            now.steady.saturating_duration_since(seen.since)
        });
        watched.max(stamp.age(now.wall))
    }

    /// Whether a file has been as it is for longer than anything takes to settle.
    pub(super) fn is_settled(&self, path: &Path, now: Now) -> bool {
        self.seen
            .get(path)
            .is_none_or(|seen| self.age(path, &seen.stamp, now) >= self.pace.settle)
    }
}

enum Arrived {
    Whole(Digest),
    Cut(Extent),
    /// While it was read.
    Changed,
}

fn read(path: &Path, stamp: Stamp) -> io::Result<Arrived> {
    // The type was checked, but may have changed since: opening never blocks.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let is_as_seen = |file: &File| Ok::<_, io::Error>(Stamp::of(&file.metadata()?) == stamp);
    if !is_as_seen(&file)? {
        return Ok(Arrived::Changed);
    }
    let bytes = file.metadata()?.len();
    match extent(&file, bytes)? {
        Extent::Whole => {}
        cut => return Ok(Arrived::Cut(cut)),
    }
    file.rewind()?;
    let (digest, _) = Digest::of_reader(&file)?;
    Ok(if is_as_seen(&file)? {
        Arrived::Whole(digest)
    } else {
        Arrived::Changed
    })
}

fn what(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
