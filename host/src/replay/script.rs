//! A recorded request as a guest is told it again: the same times, the same random numbers, the same answers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use wasmtime_wasi_http::{Error, WasiBody};

use super::kept::{Asked, Failure, Recording};
use super::notebook::what_of;

/// Things that a guest asked for and that were not recorded, of one request.
const STRAYS_MAX: usize = 8;
const STRAY_BYTES_MAX: usize = 256;

/// One guest's way through a recording.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) recording: Arc<Recording>,
    pub(super) wall: Readings,
    pub(super) monotonic: Readings,
    /// Where in the recording the answers are that were not given yet.
    answers: Mutex<HashMap<String, VecDeque<usize>>>,
    strays: Mutex<Vec<String>>,
}

impl Script {
    pub(crate) fn of(recording: &Arc<Recording>) -> Arc<Self> {
        let mut answers: HashMap<String, VecDeque<usize>> = HashMap::new();
        for (at, asked) in recording.asked.iter().enumerate() {
            answers.entry(asked.what.clone()).or_default().push_back(at);
        }
        let wall = recording.at.duration_since(std::time::UNIX_EPOCH);
        Arc::new(Self {
            wall: Readings::from(wall.unwrap_or_default()),
            monotonic: Readings::from(Duration::ZERO),
            recording: recording.clone(),
            answers: Mutex::new(answers),
            strays: Mutex::default(),
        })
    }

    /// What the guest asked for that was not recorded.
    pub(crate) fn strays(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock_strays())
    }

    /// The guest asks for something that nobody is asked for.
    pub(crate) fn strays_to(&self, what: &str) {
        let mut strays = self.lock_strays();
        if strays.len() < STRAYS_MAX {
            let end = what.floor_char_boundary(STRAY_BYTES_MAX);
            strays.push(what[..end].to_owned());
        }
    }

    /// The answer that was recorded, if there is one left. What the guest sends with its request is taken and thrown away.
    pub(crate) fn answer(&self, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let found = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(&what_of(&request))
            .and_then(VecDeque::pop_front);
        let asked = found.and_then(|at| self.recording.asked.get(at));
        let Some(asked) = asked else {
            self.strays_to(&format!("{} {}", request.method(), shown(request.uri())));
            return Err(Error::HttpRequestDenied);
        };
        if !request.body().is_end_stream() {
            // Not joined: it ends with the guest, at the latest when that is put down.
            drop(tokio::spawn(discard(request.into_body())));
        }
        match &asked.head {
            Some(Ok((status, headers))) => {
                let mut response = Response::new(body(asked));
                *response.status_mut() = *status;
                *response.headers_mut() = headers.clone();
                Ok(response)
            }
            Some(Err(failure)) => Err(failure.error()),
            None => Err(Error::ConnectionTerminated),
        }
    }

    fn lock_strays(&self) -> MutexGuard<'_, Vec<String>> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A target as people are shown it: a query may hold secrets.
fn shown(uri: &Uri) -> String {
    let text = uri.to_string();
    match text.split_once('?') {
        Some((target, _)) => format!("{target}?…"),
        None => text,
    }
}

async fn discard(mut body: WasiBody) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// The body as far as it was recorded; what is missing is missing for this guest, too.
fn body(asked: &Asked) -> WasiBody {
    let data = asked.body.clone().freeze();
    let data = (!data.is_empty()).then(|| Ok(Frame::data(data)));
    let cut = (!asked.is_whole).then_some(Err(Error::HttpResponseIncomplete));
    let frames: Vec<Result<Frame<Bytes>, Error>> = data.into_iter().chain(cut).collect();
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::ConnectionRefused => Self::ConnectionRefused,
            Error::ConnectionTimeout => Self::ConnectionTimeout,
            Error::DestinationUnavailable => Self::DestinationUnavailable,
            Error::HttpResponseTimeout => Self::ResponseTimeout,
            Error::TlsProtocolError => Self::Tls,
            _ => Self::Other,
        }
    }

    fn error(self) -> Error {
        match self {
            Self::ConnectionRefused => Error::ConnectionRefused,
            Self::ConnectionTimeout => Error::ConnectionTimeout,
            Self::DestinationUnavailable => Error::DestinationUnavailable,
            Self::ResponseTimeout => Error::HttpResponseTimeout,
            Self::Tls => Error::TlsProtocolError,
            Self::Other => Error::ConnectionTerminated,
        }
    }
}

/// What a clock showed, reading by reading. Where there are no more it goes on from the last.
#[derive(Debug)]
pub(super) struct Readings(Mutex<Place>);

#[derive(Debug)]
struct Place {
    next: usize,
    last: Duration,
    /// Since when the clock goes on by itself.
    since: Option<Instant>,
}

impl Readings {
    fn from(start: Duration) -> Self {
        Self(Mutex::new(Place {
            next: 0,
            last: start,
            since: None,
        }))
    }

    pub(super) fn next(&self, recorded: &[Duration]) -> Duration {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = recorded.get(place.next) {
            place.next += 1;
            place.last = *reading;
            return *reading;
        }
        let since = *place.since.get_or_insert_with(Instant::now);
        place.last + since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::super::budget::Budget;
    use super::super::kept::tests::recording;
    use super::*;

    fn asking(uri: &'static str) -> Request<WasiBody> {
        let nothing = Empty::new().map_err(|never| match never {});
        let mut request = Request::new(nothing.boxed_unsync());
        *request.uri_mut() = Uri::from_static(uri);
        request
    }

    fn asked(what: &str, text: &str, is_whole: bool) -> Asked {
        Asked {
            what: what.to_owned(),
            head: Some(Ok(Default::default())),
            body: text.into(),
            is_whole,
        }
    }

    async fn text(answer: Result<Response<WasiBody>, Error>) -> Result<Bytes, Error> {
        let body = answer?.into_body().collect().await?;
        Ok(body.to_bytes())
    }

    #[test]
    fn a_clock_shows_what_it_showed_and_then_goes_on() {
        let [one, two] = [1, 2].map(Duration::from_secs);
        let readings = Readings::from(Duration::ZERO);
        assert_eq!(readings.next(&[one, two]), one);
        assert_eq!(readings.next(&[one, two]), two);
        let third = readings.next(&[one, two]);
        assert!(third >= two && readings.next(&[one, two]) >= third);
        assert!(Readings::from(two).next(&[]) >= two);
    }

    #[tokio::test]
    async fn answers_come_in_their_order_and_only_once() {
        let mut recording = recording(&Budget::new(100), 0);
        recording.asked = vec![
            asked("GET http://a/x", "one", true),
            asked("GET http://b/", "other", true),
            asked("GET http://a/x", "two", true),
            asked("GET http://c/", "part", false),
            Asked {
                head: Some(Err(Failure::ConnectionRefused)),
                ..asked("GET http://d/", "", false)
            },
        ];
        let script = Script::of(&Arc::new(recording));
        for (uri, expected) in [
            ("http://a/x", "one"),
            ("http://a/x", "two"),
            ("http://b/", "other"),
        ] {
            assert_eq!(text(script.answer(asking(uri))).await.unwrap(), expected);
        }
        let cut = text(script.answer(asking("http://c/"))).await;
        assert!(matches!(cut, Err(Error::HttpResponseIncomplete)));
        let refused = script.answer(asking("http://d/"));
        assert!(matches!(refused, Err(Error::ConnectionRefused)));
        assert!(script.strays().is_empty());
        for uri in ["http://a/x", "http://a/x?key=secret"] {
            let denied = script.answer(asking(uri));
            assert!(matches!(denied, Err(Error::HttpRequestDenied)));
        }
        assert_eq!(script.strays(), ["GET http://a/x", "GET http://a/x?…"]);
    }

    #[test]
    fn what_is_said_of_strays_is_bounded() {
        let script = Script::of(&Arc::new(recording(&Budget::new(100), 0)));
        for _ in 0..100 {
            script.strays_to(&"é".repeat(1000));
        }
        let strays = script.strays();
        assert_eq!(strays.len(), STRAYS_MAX);
        assert!(strays.iter().all(|stray| stray.len() <= STRAY_BYTES_MAX));
    }
}
