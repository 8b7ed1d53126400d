//! Takes notes of a request: of all that its guest is told, and of what it answers.
//!
//! Notes never hold anything up, and are thrown away when they would be too long or would not be whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use http::request::Parts;
use http::{Request, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use rand::TryRng;
use rand::rngs::SysRng;
use skep_policy::replay::Names;
use wasmtime_wasi_http::{Error, WasiBody};

use super::budget::Charge;
use super::kept::{Answer, Asked, Collected, Failure, Headers, Recording, Ring, cost, listed};
use super::mirror::Mirror;
use super::tee::Tee;
use super::{BODY_BYTES_MAX, Replays};
use crate::registry::{Revision, Service};
use crate::request::body::early::Early;
use crate::request::exchange::Exchange;
use crate::request::run::Answered;
use crate::request::run::functions::Invocation;
use crate::request::run::instance::Instance;
use crate::request::run::sender::Sender;

/// Bytes of one recording.
const BYTES_MAX: usize = 1 << 20;
/// What a recording takes beside what is in it.
const BYTES_MIN: usize = 1 << 10;
/// Readings of a clock, and requests to others, of one request.
const READINGS_MAX: usize = 4096;
const ASKED_MAX: usize = 256;

/// Which body.
#[derive(Debug)]
pub(super) enum Part {
    Request,
    /// Of the answer to what the guest asked, in the order of that.
    Heard(usize),
    /// Of a guest's answer, which counts for nothing if its exchange or its instance has failed.
    Answer(Arc<Exchange>, Arc<Instance>),
}

/// One request's notes.
#[derive(Debug)]
pub(crate) struct Notebook {
    readers: Readers,
    at: SystemTime,
    /// From the operating system: whoever sees the guest's random numbers can't tell the next.
    pub(super) seed: [u8; 32],
    /// None when they are kept, or not to be.
    notes: Mutex<Option<Notes>>,
}

/// Who gets what was noted: one of them at least.
#[derive(Debug, Clone)]
struct Readers {
    ring: Option<Arc<Ring>>,
    mirror: Option<Arc<Mirror>>,
}

#[derive(Debug)]
struct Notes {
    charge: Charge,
    request: Parts,
    body: BytesMut,
    is_body_whole: bool,
    wall: Vec<Duration>,
    monotonic: Vec<Duration>,
    asked: Vec<Asked>,
    answer: Option<(u16, Headers)>,
    answer_body: Collected,
}

impl Readers {
    /// Who is for the next request of a service's revision, if anybody is.
    fn of_next(service: &Service, revision: &Revision) -> Option<Self> {
        let trial = service.trial.as_ref();
        let mirror = trial.and_then(|trial| trial.settings.mirror.as_ref());
        let ring = revision.kept.as_ref().filter(|ring| ring.is_next());
        let mirror = mirror.filter(|mirror| mirror.is_next());
        let is_any = ring.is_some() || mirror.is_some();
        is_any.then(|| Self {
            ring: ring.cloned(),
            mirror: mirror.cloned(),
        })
    }

    /// What is kept has none of the values that are not; what is answered right away has them, as the request had.
    fn read(&self, mut recording: Recording) {
        match (&self.ring, &self.mirror) {
            (Some(ring), mirror) => {
                if let Some(mirror) = mirror {
                    mirror.show(recording.copy());
                }
                recording.redact(Names::redacted(&ring.record.redact));
                ring.push(recording);
            }
            (None, Some(mirror)) => mirror.show(Some(recording)),
            (None, None) => {}
        }
    }
}

/// Begins with notes if the revision keeps requests or is mirrored, and this is a request for that.
pub(crate) fn open(
    replays: &Replays,
    service: &Service,
    revision: &Revision,
    exchange: &Exchange,
    request: Request<WasiBody>,
) -> (Request<WasiBody>, Option<Arc<Notebook>>) {
    let is_plain = !exchange.is_check
        && Invocation::of(&request).is_none()
        && revision
            .backend
            .program()
            .is_some_and(|program| !program.calls_functions);
    let readers = is_plain.then(|| Readers::of_next(service, revision));
    let Some(readers) = readers.flatten() else {
        return (request, None);
    };
    let (parts, body) = request.into_parts();
    let Some(notebook) = Notebook::begin(replays, readers, &parts, &body) else {
        return (Request::from_parts(parts, body), None);
    };
    let tee = Tee::of(body, Part::Request, notebook.clone());
    let request = Request::from_parts(parts, tee.boxed_unsync());
    (request, Some(notebook))
}

impl Notebook {
    fn begin(
        replays: &Replays,
        readers: Readers,
        parts: &Parts,
        body: &WasiBody,
    ) -> Option<Arc<Self>> {
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return None;
        }
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).ok()?;
        let mut request = Request::new(()).into_parts().0;
        request.method = parts.method.clone();
        request.uri = parts.uri.clone();
        request.version = parts.version;
        request.headers = parts.headers.clone();
        let bytes = BYTES_MIN + cost(&request.headers) + parts.uri.path().len();
        let notes = Notes {
            charge: match readers.ring {
                Some(_) => replays.memory.charge(),
                None => replays.mirrored.charge(),
            },
            request,
            body: BytesMut::new(),
            is_body_whole: false,
            wall: Vec::new(),
            monotonic: Vec::new(),
            asked: Vec::new(),
            answer: None,
            answer_body: Collected::default(),
        };
        let notebook = Arc::new(Self {
            readers,
            at: SystemTime::now(),
            seed,
            notes: Mutex::new(Some(notes)),
        });
        notebook.note(bytes, |_| true);
        Some(notebook)
    }

    /// Notes what the guest answers. Kept when that is out.
    pub(crate) fn listen(
        self: &Arc<Self>,
        answered: Answered,
        exchange: &Arc<Exchange>,
    ) -> Answered {
        let Answered { response, sender } = answered;
        let Sender::Guest(claimant) = &sender else {
            return Answered { response, sender };
        };
        let (parts, body) = response.into_parts();
        let headers = listed(&parts.headers);
        self.note(cost(&parts.headers), |notes| {
            notes.answer = Some((parts.status.as_u16(), headers));
            true
        });
        let part = Part::Answer(exchange.clone(), claimant.instance.clone());
        let tee = Tee::of(body, part, self.clone());
        let response = http::Response::from_parts(parts, Early::of(tee.boxed_unsync()));
        Answered { response, sender }
    }

    /// Throws the notes away.
    pub(crate) fn tear(&self) {
        *self.lock() = None;
    }

    pub(super) fn wall(&self, reading: Duration) {
        self.note(size_of::<Duration>(), |notes| {
            notes.wall.push(reading);
            notes.wall.len() <= READINGS_MAX
        });
    }

    pub(super) fn monotonic(&self, reading: Duration) {
        self.note(size_of::<Duration>(), |notes| {
            notes.monotonic.push(reading);
            notes.monotonic.len() <= READINGS_MAX
        });
    }

    /// The guest asks others for something. Which of its requests that is.
    pub(crate) fn asks(&self, request: &Request<WasiBody>) -> usize {
        let what = what_of(request);
        let mut number = 0;
        self.note(size_of::<Asked>() + what.len(), |notes| {
            number = notes.asked.len();
            notes.asked.push(Asked {
                what,
                head: None,
                body: BytesMut::new(),
                is_whole: false,
            });
            notes.asked.len() <= ASKED_MAX
        });
        number
    }

    /// What came of the guest's request of this `number`.
    pub(crate) fn hears(
        self: &Arc<Self>,
        number: usize,
        response: http::Response<WasiBody>,
    ) -> http::Response<WasiBody> {
        let (parts, body) = response.into_parts();
        let headers = parts.headers.clone();
        self.note(cost(&headers), |notes| {
            if let Some(asked) = notes.asked.get_mut(number) {
                asked.head = Some(Ok((parts.status, headers)));
            }
            true
        });
        let tee = Tee::of(body, Part::Heard(number), self.clone());
        http::Response::from_parts(parts, tee.boxed_unsync())
    }

    /// The guest's request of this `number` had no answer.
    pub(crate) fn fails(&self, number: usize, error: &Error) {
        self.note(0, |notes| {
            if let Some(asked) = notes.asked.get_mut(number) {
                asked.head = Some(Err(Failure::of(error)));
            }
            true
        });
    }

    /// A piece of a body.
    pub(super) fn passes(&self, part: &Part, data: &[u8]) {
        let bytes = match part {
            Part::Request | Part::Heard(_) => data.len(),
            Part::Answer(..) => {
                let notes = self.lock();
                notes
                    .as_ref()
                    .map_or(0, |notes| notes.answer_body.cost(data))
            }
        };
        self.note(bytes, |notes| match part {
            Part::Request => {
                notes.body.extend_from_slice(data);
                notes.body.len() <= BODY_BYTES_MAX
            }
            Part::Heard(number) => notes.asked.get_mut(*number).is_some_and(|asked| {
                asked.body.extend_from_slice(data);
                asked.body.len() <= BODY_BYTES_MAX
            }),
            Part::Answer(..) => {
                notes.answer_body.push(data);
                true
            }
        });
    }

    /// A body has no more pieces.
    pub(super) fn ends(&self, part: &Part, is_whole: bool) {
        match part {
            Part::Request => self.note(0, |notes| {
                notes.is_body_whole = is_whole;
                true
            }),
            Part::Heard(number) => self.note(0, |notes| {
                if let Some(asked) = notes.asked.get_mut(*number) {
                    asked.is_whole = is_whole;
                }
                true
            }),
            Part::Answer(exchange, instance) => {
                let failed = exchange.fault().is_some() || instance.fault().is_some();
                let notes = self.lock().take().filter(|_| is_whole && !failed);
                if let Some(recording) = notes.and_then(|notes| self.recording(notes)) {
                    self.readers.read(recording);
                }
            }
        }
    }

    /// None if something is missing: the guest answered without the whole body, or not with as much as it promised.
    fn recording(&self, notes: Notes) -> Option<Recording> {
        let Parts {
            method,
            uri,
            version,
            headers,
            ..
        } = notes.request;
        let (status, answer_headers) = notes.answer?;
        let promised = answer_headers
            .iter()
            .find(|(name, _)| name == header::CONTENT_LENGTH.as_str());
        let has_all = promised.is_none_or(|(_, length)| {
            method == http::Method::HEAD
                || *length == notes.answer_body.bytes().to_string().as_bytes()
        });
        (notes.is_body_whole && has_all).then(|| Recording {
            at: self.at,
            method,
            uri,
            version,
            headers,
            body: notes.body.freeze(),
            is_redacted: false,
            seed: self.seed,
            wall: notes.wall,
            monotonic: notes.monotonic,
            asked: notes.asked,
            answer: Answer {
                status,
                headers: answer_headers,
                body: notes.answer_body.finish(),
            },
            charge: notes.charge,
        })
    }

    /// Writes so many bytes down, unless that is too much: older recordings of the revision make room first.
    fn note(&self, bytes: usize, write: impl FnOnce(&mut Notes) -> bool) {
        let mut lock = self.lock();
        let Some(notes) = lock.as_mut() else { return };
        let fits = notes.charge.bytes() + bytes <= BYTES_MAX;
        let mut is_paid = fits && notes.charge.grow(bytes);
        let ring = self.readers.ring.as_ref();
        while fits && !is_paid && ring.is_some_and(|ring| ring.drop_oldest()) {
            is_paid = notes.charge.grow(bytes);
        }
        if !is_paid || !write(notes) {
            *lock = None;
            if let Some(mirror) = &self.readers.mirror {
                mirror.show(None);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Notes>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The method and the target, by which answers are found again.
pub(super) fn what_of(request: &Request<WasiBody>) -> String {
    format!("{} {}", request.method(), request.uri())
}

#[cfg(test)]
mod tests;
