//! Static files, read for each request: what is edited shows at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::stream;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use skep_policy::files::{Conditions, Part, Validators, Verdict, named, part};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

pub(crate) use self::disk::Disk;

use self::disk::{Found, Opened, Reading};
use super::Holds;
use crate::config::service::target;
use crate::fault::{Cause, Fault};
use crate::request::dispatch::LastName;
use crate::request::exchange::Exchange;

mod disk;

/// The files of a folder.
pub(crate) struct Files {
    config: target::Files,
    disk: Arc<Disk>,
}

impl Files {
    pub(super) fn new(config: target::Files, disk: Arc<Disk>) -> Arc<Self> {
        Arc::new(Self { config, disk })
    }

    /// Sends what the request names.
    ///
    /// # Errors
    /// [`Cause::NoFile`], [`Cause::WrongMethod`], or when the file can't be opened by the `deadline`.
    pub(in crate::request) async fn answer(
        &self,
        request: Request<WasiBody>,
        holds: Holds,
        deadline: Instant,
    ) -> Result<Response<WasiBody>, Fault> {
        let method = request.method();
        if method != Method::GET && method != Method::HEAD {
            return Err(Fault::wrong_method(&["GET", "HEAD"]));
        }
        let path = request.uri().path();
        let asked = request.extensions().get::<LastName>();
        let own = || path.rsplit('/').next().unwrap_or_default();
        let name = asked.map_or_else(own, |asked| &*asked.name);
        if path == "/" && asked.is_some_and(|asked| asked.is_prefix) {
            return redirect(name, &request);
        }
        let named = named(path).ok_or(Cause::NoFile)?;
        let find = self.disk.find(&self.config, named);
        let found = tokio::select! {
            biased;
            found = timeout_at(deadline, find) => found,
            fault = holds.cut() => return Err(fault),
        };
        let slow = |_| Fault::new(Cause::WallDeadline, "the file could not be opened in time");
        match found.map_err(slow)?? {
            Found::Nothing => Err(Cause::NoFile.into()),
            // The client has a slash there already: one more would lead it here again.
            Found::Folder if name.is_empty() => Err(Cause::NoFile.into()),
            Found::Folder => redirect(name, &request),
            Found::File(opened) => self.send(opened, &request, holds),
        }
    }

    fn send(
        &self,
        opened: Opened,
        request: &Request<WasiBody>,
        holds: Holds,
    ) -> Result<Response<WasiBody>, Fault> {
        let headers = request.headers();
        let etag = etag(&opened);
        let modified = seconds(opened.modified);
        let validators = Validators {
            etag: &etag,
            modified,
        };
        let verdict = Asked::of(headers).conditions().judge(validators);
        let mut response = Response::new(empty());
        *response.status_mut() = match verdict {
            Verdict::Failed => StatusCode::PRECONDITION_FAILED,
            Verdict::NotModified => StatusCode::NOT_MODIFIED,
            Verdict::Sent | Verdict::SentWhole => StatusCode::OK,
        };
        if verdict == Verdict::Failed {
            return Ok(response);
        }
        let date = httpdate::fmt_http_date(opened.modified);
        insert(&mut response, header::ETAG, etag);
        insert(&mut response, header::LAST_MODIFIED, date);
        if let Some(value) = &self.config.cache_control {
            insert(&mut response, header::CACHE_CONTROL, value.clone());
        }
        if verdict == Verdict::NotModified {
            return Ok(response);
        }
        insert(&mut response, header::ACCEPT_RANGES, "bytes".to_owned());
        insert(
            &mut response,
            header::CONTENT_TYPE,
            content_type(&opened.name),
        );
        let length = opened.length;
        let range = match headers.get(header::RANGE).map(HeaderValue::to_str) {
            Some(Ok(range)) if verdict == Verdict::Sent && request.method() == Method::GET => {
                part(range, length)
            }
            _ => Part::Whole,
        };
        let bytes = match range {
            Part::Whole => 0..length,
            Part::Bytes(bytes) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let shown = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
                insert(&mut response, header::CONTENT_RANGE, shown);
                bytes
            }
            Part::Nothing => {
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                insert(
                    &mut response,
                    header::CONTENT_RANGE,
                    format!("bytes */{length}"),
                );
                response.headers_mut().remove(header::CONTENT_TYPE);
                return Ok(response);
            }
        };
        let sent = (bytes.end - bytes.start).to_string();
        insert(&mut response, header::CONTENT_LENGTH, sent);
        if request.method() == Method::GET {
            *response.body_mut() = body(opened.read(bytes), holds);
        }
        Ok(response)
    }
}

/// The bytes of a file: those that were read with its opening at once, the others as they are asked for.
fn body(reading: Reading, holds: Holds) -> WasiBody {
    let (first, rest) = reading.begun();
    let Some(rest) = rest else {
        let whole = Full::new(first).map_err(|never| match never {});
        return holds.body(whole.boxed_unsync());
    };
    let exchange = holds.exchange.clone();
    let rest = stream::unfold((Some(first), Some(rest)), move |(first, rest)| {
        let exchange = exchange.clone();
        async move {
            if let Some(first) = first {
                return Some((Ok(Frame::data(first)), (None, rest)));
            }
            let (next, rest) = next(rest?, &exchange).await?;
            Some((next, (None, rest)))
        }
    });
    holds.body(StreamBody::new(rest).boxed_unsync())
}

type Next = (Result<Frame<Bytes>, WasiError>, Option<Reading>);

/// The next piece, and what is left after it.
async fn next(reading: Reading, exchange: &Exchange) -> Option<Next> {
    match reading.next().await {
        Ok(Some((bytes, rest))) => Some((Ok(Frame::data(bytes)), Some(rest))),
        Ok(None) => None,
        Err(error) => {
            let detail = format!("the file can't be read on: {error}");
            exchange.failed(Fault::new(Cause::HostFailed, detail));
            Some((Err(WasiError::HttpResponseIncomplete), None))
        }
    }
}

/// Sends the client to the folder that it left the slash out of. Relative, since what is before is not known here.
fn redirect(name: &str, request: &Request<WasiBody>) -> Result<Response<WasiBody>, Fault> {
    let query = request.uri().query();
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    insert(&mut response, header::LOCATION, format!("./{name}/{query}"));
    Ok(response)
}

/// What is known to be printable.
fn insert(response: &mut Response<WasiBody>, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

fn empty() -> WasiBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Tells versions of a file apart, for as long as it is not changed twice in one tick of the clock that stamps it
/// without a change of its length.
fn etag(opened: &Opened) -> String {
    let since = opened.modified.duration_since(UNIX_EPOCH);
    let nanoseconds = since.unwrap_or_default().as_nanos();
    format!("\"{nanoseconds:x}-{:x}\"", opened.length)
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}

fn content_type(name: &str) -> String {
    let guessed = mime_guess::from_path(name).first_or_octet_stream();
    let essence = guessed.essence_str();
    let is_text = guessed.type_() == mime_guess::mime::TEXT
        || matches!(
            essence,
            "application/javascript" | "application/json" | "image/svg+xml"
        );
    if is_text {
        format!("{essence}; charset=utf-8")
    } else {
        essence.to_owned()
    }
}

/// The fields of a conditional request.
struct Asked {
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_modified_since: Option<u64>,
    if_unmodified_since: Option<u64>,
    if_range: Option<String>,
    if_range_date: Option<u64>,
}

impl Asked {
    fn of(headers: &HeaderMap) -> Self {
        let joined = |name: HeaderName| {
            let mut values = headers.get_all(name).iter().peekable();
            values.peek()?;
            // One that is no text matches nothing.
            let texts = values.map(|value| value.to_str().unwrap_or_default());
            Some(texts.collect::<Vec<_>>().join(","))
        };
        let date = |text: &str| httpdate::parse_http_date(text).ok().map(seconds);
        let of_date = |name: HeaderName| date(headers.get(name)?.to_str().ok()?);
        let if_range = joined(header::IF_RANGE);
        let if_range_date = if_range.as_deref().and_then(date);
        Self {
            if_match: joined(header::IF_MATCH),
            if_none_match: joined(header::IF_NONE_MATCH),
            if_modified_since: of_date(header::IF_MODIFIED_SINCE),
            if_unmodified_since: of_date(header::IF_UNMODIFIED_SINCE),
            if_range: if_range.filter(|_| if_range_date.is_none()),
            if_range_date,
        }
    }

    fn conditions(&self) -> Conditions<'_> {
        Conditions {
            if_match: self.if_match.as_deref(),
            if_none_match: self.if_none_match.as_deref(),
            if_modified_since: self.if_modified_since,
            if_unmodified_since: self.if_unmodified_since,
            if_range: self.if_range.as_deref(),
            if_range_date: self.if_range_date,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_by_the_names_end() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.json", "application/json; charset=utf-8"),
            ("a.svg", "image/svg+xml; charset=utf-8"),
            ("A.PNG", "image/png"),
            ("a.wasm", "application/wasm"),
            ("a.woff2", "font/woff2"),
            ("a", "application/octet-stream"),
            ("a.tar.unknown", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }
}
