//! What is kept of requests: the newest of a revision, within bounds.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use sha2::{Digest, Sha256};
use skep_policy::replay::{self, Names, REDACTED_VALUE};

use super::BODY_BYTES_MAX;
use super::budget::Charge;
use crate::config::service::record::Record;

/// Bytes that the recordings of one revision may take.
const BYTES_PER_REVISION_MAX: usize = 16 << 20;
/// What a header costs beside its bytes.
const HEADER_BYTES: usize = 64;

/// A request that was answered, and what its guest was told on the way.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) at: SystemTime,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the guest was told what is not kept.
    pub(crate) is_redacted: bool,
    /// What the guest's random numbers come of.
    pub(super) seed: [u8; 32],
    pub(super) wall: Vec<Duration>,
    pub(super) monotonic: Vec<Duration>,
    pub(super) asked: Vec<Asked>,
    pub(crate) answer: Answer,
    pub(super) charge: Charge,
}

impl Recording {
    /// The same again, if there is memory for it.
    pub(super) fn copy(&self) -> Option<Self> {
        Some(Self {
            at: self.at,
            method: self.method.clone(),
            uri: self.uri.clone(),
            version: self.version,
            headers: self.headers.clone(),
            body: self.body.clone(),
            is_redacted: self.is_redacted,
            seed: self.seed,
            wall: self.wall.clone(),
            monotonic: self.monotonic.clone(),
            asked: self.asked.clone(),
            answer: self.answer.clone(),
            charge: self.charge.twin()?,
        })
    }

    /// Whether it holds values that are not kept.
    pub(crate) fn has_secrets(&self, names: Names<'_>) -> bool {
        let has = |headers: &HeaderMap| headers.keys().any(|name| names.has(name.as_str()));
        let mut heard = self.asked.iter().filter_map(|asked| asked.head.as_ref());
        has(&self.headers) || heard.any(|head| head.as_ref().is_ok_and(|(_, headers)| has(headers)))
    }

    /// Takes the values out that are not kept.
    pub(super) fn redact(&mut self, names: Names<'_>) {
        self.is_redacted |= redact(&mut self.headers, names);
        for asked in &mut self.asked {
            if let Some(Ok((_, headers))) = &mut asked.head {
                self.is_redacted |= redact(headers, names);
            }
        }
    }

    pub(crate) fn at_unix_ms(&self) -> u64 {
        let since = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Something that the guest asked of others.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The method and the target.
    pub(super) what: String,
    /// None if the guest did not wait for the answer.
    pub(super) head: Option<Result<(StatusCode, HeaderMap), Failure>>,
    pub(super) body: BytesMut,
    /// Whether the guest has taken the body to its end.
    pub(super) is_whole: bool,
}

/// Why the guest got no answer, as far as it is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    ConnectionRefused,
    ConnectionTimeout,
    DestinationUnavailable,
    ResponseTimeout,
    Tls,
    Other,
}

/// Names in lower case, and values.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: KeptBody,
}

impl Answer {
    /// As it is compared.
    pub(crate) fn view(&self) -> replay::Answer<'_> {
        let body = match &self.body {
            KeptBody::Whole(bytes) => replay::Body::Whole(bytes),
            KeptBody::Long { bytes, sha256 } => replay::Body::Long {
                bytes: *bytes,
                sha256: *sha256,
            },
        };
        replay::Answer {
            status: self.status,
            headers: &self.headers,
            body,
        }
    }
}

/// An answer's body, or its digest if it is long.
#[derive(Debug, Clone)]
pub(crate) enum KeptBody {
    Whole(Bytes),
    Long { bytes: u64, sha256: [u8; 32] },
}

/// Takes a body in, as much of it as is kept.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    bytes: u64,
    kept: BytesMut,
    digest: Option<Sha256>,
}

impl Collected {
    /// How many bytes there were so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What of `data` will be kept.
    pub(super) fn cost(&self, data: &[u8]) -> usize {
        let fits = self.digest.is_none() && self.kept.len() + data.len() <= BODY_BYTES_MAX;
        if fits { data.len() } else { 0 }
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        if self.digest.is_none() && self.kept.len() + data.len() > BODY_BYTES_MAX {
            let mut digest = Sha256::new();
            digest.update(std::mem::take(&mut self.kept));
            self.digest = Some(digest);
        }
        match &mut self.digest {
            Some(digest) => digest.update(data),
            None => self.kept.extend_from_slice(data),
        }
    }

    pub(crate) fn finish(self) -> KeptBody {
        match self.digest {
            None => KeptBody::Whole(self.kept.freeze()),
            Some(digest) => KeptBody::Long {
                bytes: self.bytes,
                sha256: digest.finalize().into(),
            },
        }
    }
}

/// The headers of an answer as they are compared.
pub(crate) fn listed(headers: &HeaderMap) -> Headers {
    let owned = |(name, value): (&http::HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    headers.iter().map(owned).collect()
}

/// Replaces the values that are not kept; whether there were any.
fn redact(headers: &mut HeaderMap, names: Names<'_>) -> bool {
    let mut any = false;
    for (name, value) in headers.iter_mut() {
        if names.has(name.as_str()) {
            *value = HeaderValue::from_static(REDACTED_VALUE);
            any = true;
        }
    }
    any
}

/// What headers cost.
pub(super) fn cost(headers: &HeaderMap) -> usize {
    let each = headers.iter();
    let each = each.map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES);
    each.sum()
}

/// The newest requests of a revision.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(super) record: Record,
    seen: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    recordings: VecDeque<Arc<Recording>>,
    bytes: usize,
}

impl Kept {
    /// Lets the oldest go; false if there is none.
    fn drop_oldest(&mut self) -> bool {
        let oldest = self.recordings.pop_front();
        let bytes = oldest.as_ref().map_or(0, |oldest| oldest.charge.bytes());
        self.bytes -= bytes;
        oldest.is_some()
    }
}

impl Ring {
    /// None if nothing is to be kept.
    pub(crate) fn of(record: &Record) -> Option<Arc<Self>> {
        let ring = Self {
            record: record.clone(),
            seen: AtomicU64::new(0),
            kept: Mutex::default(),
        };
        (record.requests > 0).then(|| Arc::new(ring))
    }

    /// What is kept, oldest first.
    pub(crate) fn recordings(&self) -> Vec<Arc<Recording>> {
        self.kept().recordings.iter().cloned().collect()
    }

    /// Whether the next request is one of those that are recorded.
    pub(super) fn is_next(&self) -> bool {
        let every = u64::from(self.record.every.max(1));
        self.seen.fetch_add(1, Relaxed).is_multiple_of(every)
    }

    /// Keeps one more, in the place of the oldest if there are enough.
    pub(super) fn push(&self, recording: Recording) {
        let most = self.record.requests as usize;
        let bytes = recording.charge.bytes();
        let mut kept = self.kept();
        let is_full = |kept: &Kept| {
            kept.recordings.len() >= most || kept.bytes + bytes > BYTES_PER_REVISION_MAX
        };
        while is_full(&kept) && kept.drop_oldest() {}
        kept.bytes += bytes;
        kept.recordings.push_back(Arc::new(recording));
    }

    /// Lets the oldest go; false if there is none.
    pub(super) fn drop_oldest(&self) -> bool {
        self.kept().drop_oldest()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::budget::Budget;
    use super::*;

    pub(crate) fn recording(budget: &Arc<Budget>, bytes: usize) -> Recording {
        let mut charge = budget.charge();
        assert!(charge.grow(bytes));
        Recording {
            at: UNIX_EPOCH + Duration::from_millis(1234),
            method: Method::GET,
            uri: Uri::from_static("http://a.example/path?query"),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            is_redacted: false,
            seed: [7; 32],
            wall: Vec::new(),
            monotonic: Vec::new(),
            asked: Vec::new(),
            answer: Answer {
                status: 200,
                headers: Vec::new(),
                body: KeptBody::Whole(Bytes::new()),
            },
            charge,
        }
    }

    fn ring(requests: u32, every: u32) -> Arc<Ring> {
        let record = Record {
            requests,
            every,
            ..Record::default()
        };
        Ring::of(&record).unwrap()
    }

    #[test]
    fn the_newest_are_kept_and_no_more_than_asked_for() {
        let (ring, budget) = (ring(3, 1), Budget::new(usize::MAX));
        for bytes in 1..=5 {
            ring.push(recording(&budget, bytes));
        }
        let kept = ring.recordings();
        let sizes: Vec<usize> = kept.iter().map(|one| one.charge.bytes()).collect();
        assert_eq!(sizes, [3, 4, 5]);
        assert!(ring.drop_oldest() && ring.drop_oldest() && ring.drop_oldest());
        assert!(!ring.drop_oldest());
    }

    #[test]
    fn large_ones_drive_out_more_than_one() {
        let (ring, budget) = (ring(100, 1), Budget::new(usize::MAX));
        for _ in 0..40 {
            ring.push(recording(&budget, 1 << 20));
        }
        assert_eq!(ring.recordings().len(), BYTES_PER_REVISION_MAX >> 20);
    }

    #[test]
    fn one_in_so_many_is_recorded_the_first_among_them() {
        let ring = ring(1, 3);
        let taken: Vec<bool> = (0..7).map(|_| ring.is_next()).collect();
        assert_eq!(taken, [true, false, false, true, false, false, true]);
        assert!(Ring::of(&Record::default()).is_none());
    }

    #[test]
    fn a_long_body_is_its_digest_however_it_comes() {
        let body = vec![b'x'; BODY_BYTES_MAX + 1];
        let digest: [u8; 32] = Sha256::digest(&body).into();
        for piece in [1000, BODY_BYTES_MAX, body.len()] {
            let mut collected = Collected::default();
            let mut cost = 0;
            for data in body.chunks(piece) {
                cost += collected.cost(data);
                collected.push(data);
            }
            assert!(cost <= BODY_BYTES_MAX);
            let KeptBody::Long { bytes, sha256 } = collected.finish() else {
                panic!("it is long");
            };
            assert_eq!((bytes, sha256), (body.len() as u64, digest));
        }
        let mut collected = Collected::default();
        collected.push(&body[1..]);
        assert!(matches!(collected.finish(), KeptBody::Whole(whole) if whole == body[1..]));
    }

    #[test]
    fn redacted_values_are_gone() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "a"),
            ("x-mine", "b"),
            ("cookie", "c"),
            ("cookie", "d"),
            ("accept", "e"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let more = ["x-mine".to_owned()].into();
        assert!(redact(&mut headers, Names::redacted(&more)));
        let values: Vec<_> = headers
            .values()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(
            values.iter().filter(|value| **value == "redacted").count(),
            4
        );
        assert_eq!(headers["accept"], "e");
        let mut plain = HeaderMap::new();
        plain.insert("accept", HeaderValue::from_static("e"));
        assert!(!redact(&mut plain, Names::redacted(&more)));
    }
}
