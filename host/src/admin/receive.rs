//! What requests bring: components, configurations and orders. Everything is bounded in size and time.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, BodyStream, LengthLimitError, Limited};
use multer::{Constraints, Multipart, SizeLimit};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use skep_policy::name::ServiceName;

use super::answer::Answer;
use crate::deploy::compile::{ARTIFACT_BYTES_MAX, Digest};
use crate::state::{ArtifactError, Held, Incoming, State};
use crate::telemetry;

/// Of JSON and of the configuration in a form.
const TEXT_BYTES_MAX: usize = 2 << 20;
/// Of what a form has beside the component.
const FORM_EXTRA_BYTES_MAX: u64 = 4 << 20;
/// Without a byte, after which whoever sends is given up.
const SILENCE: Duration = Duration::from_secs(30);
const SOURCE_CHARS_MAX: usize = 512;

/// A deployment as it was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// The component, kept; None if the manifest names what answers.
    pub(super) component: Option<(Digest, Held)>,
    /// The manifest; None for the one that the service has.
    pub(super) config: Option<String>,
    pub(super) source: Option<String>,
    pub(super) signature: Option<String>,
    pub(super) force: bool,
}

impl Sent {
    pub(super) fn digest(&self) -> Option<Digest> {
        self.component.as_ref().map(|(digest, _)| *digest)
    }
}

/// The same in JSON, with a component that is there already.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    artifact: Option<Digest>,
    config: Option<String>,
    source: Option<String>,
    signature: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Several deployments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bundle {
    pub(super) services: Vec<Member>,
    pub(super) source: Option<String>,
    #[serde(default)]
    pub(super) force: bool,
}

/// One of several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) name: ServiceName,
    pub(super) artifact: Option<Digest>,
    pub(super) config: Option<String>,
    pub(super) signature: Option<String>,
}

/// What a form has brought so far.
#[derive(Debug, Default)]
struct Form {
    artifact: Option<(Digest, Held)>,
    digest: Option<String>,
    config: Option<String>,
    source: Option<String>,
    signature: Option<String>,
    force: Option<String>,
}

/// Takes a deployment: a form with the component, or JSON that names one.
pub(super) async fn deployment<B>(
    state: &State,
    headers: &HeaderMap,
    body: B,
) -> Result<Sent, Answer>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>
        + Send
        + Unpin
        + 'static,
{
    let media_type = media_type(headers);
    if let Ok(boundary) = multer::parse_boundary(&media_type) {
        return form(state, boundary, body).await;
    }
    if !is_json(&media_type) {
        let detail = "a deployment is sent as multipart/form-data with the parts `artifact` and `config`, or as \
                      application/json that names an artifact";
        return Err(Answer::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let described: Described = json(headers, body).await?;
    let component = match described.artifact {
        Some(digest) => Some((digest, known(state, digest)?)),
        None if described.config.is_some() => None,
        None => {
            let detail = "there is no component: name it as `artifact`";
            return Err(Answer::problem(StatusCode::BAD_REQUEST, detail));
        }
    };
    Ok(Sent {
        component,
        config: described.config,
        source: described.source.map(|source| plain(&source)),
        signature: described.signature,
        force: described.force,
    })
}

async fn form<B>(state: &State, boundary: String, body: B) -> Result<Sent, Answer>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>
        + Send
        + Unpin
        + 'static,
{
    let whole = SizeLimit::new()
        .whole_stream(ARTIFACT_BYTES_MAX + FORM_EXTRA_BYTES_MAX)
        .for_field("artifact", ARTIFACT_BYTES_MAX)
        .for_field("config", TEXT_BYTES_MAX as u64)
        .per_field(64 << 10);
    let constraints = Constraints::new().size_limit(whole);
    let parts = Multipart::with_constraints(chunks(body), boundary, constraints);
    let mut parts = parts;
    let mut form = Form::default();
    while let Some(mut part) = parts.next_field().await.map_err(malformed)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "artifact" {
            let mut incoming = Some(state.artifacts.incoming().map_err(unkept)?);
            while let Some(chunk) = part.chunk().await.map_err(malformed)? {
                write(state, &mut incoming, chunk).await?;
            }
            form.artifact = Some(finish(state, incoming, None).await?);
            continue;
        }
        let text = part.text().await.map_err(malformed)?;
        let field = match name.as_str() {
            "digest" => &mut form.digest,
            "config" => &mut form.config,
            "source" => &mut form.source,
            "signature" => &mut form.signature,
            "force" => &mut form.force,
            other => {
                let detail = format!(
                    "{other:?} is no part of a deployment: there are artifact, digest, config, source, signature and force"
                );
                return Err(Answer::problem(StatusCode::BAD_REQUEST, &detail));
            }
        };
        *field = Some(text);
    }
    form.sent(state)
}

impl Form {
    fn sent(self, state: &State) -> Result<Sent, Answer> {
        let bad = |detail: &str| Err(Answer::problem(StatusCode::BAD_REQUEST, detail));
        let component = match (self.artifact, self.digest) {
            (Some(_), Some(_)) => {
                return bad("there are both an artifact and a digest: send one of them");
            }
            (Some(artifact), None) => Some(artifact),
            (None, Some(digest)) => match digest.parse() {
                Ok(digest) => Some((digest, known(state, digest)?)),
                Err(error) => return bad(&format!("digest: {error}")),
            },
            (None, None) if self.config.is_some() => None,
            (None, None) => return bad("there is no component: send it as the part `artifact`"),
        };
        let force = match self.force.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return bad("force is neither true nor false"),
        };
        Ok(Sent {
            component,
            config: self.config,
            source: self.source.map(|source| plain(&source)),
            signature: self.signature,
            force,
        })
    }
}

/// Takes a component that is to be deployed by its digest.
pub(super) async fn artifact<B>(
    state: &State,
    expected: Digest,
    body: B,
) -> Result<(Held, u64), Answer>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>
        + Send
        + Unpin
        + 'static,
{
    let mut incoming = Some(state.artifacts.incoming().map_err(unkept)?);
    let mut chunks = Box::pin(chunks(body));
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Answer::problem(StatusCode::BAD_REQUEST, &error.to_string()))?;
        bytes += chunk.len() as u64;
        write(state, &mut incoming, chunk).await?;
    }
    let (_, held) = finish(state, incoming, Some(expected)).await?;
    Ok((held, bytes))
}

/// An artifact that is there already, kept from being collected.
pub(super) fn known(state: &State, digest: Digest) -> Result<Held, Answer> {
    let held = state.artifacts.hold(digest);
    if state.artifacts.has(&digest) {
        return Ok(held);
    }
    let detail = format!("there is no artifact {digest}: send it with PUT /v1/artifacts/{digest}");
    Err(Answer::problem(StatusCode::NOT_FOUND, &detail))
}

async fn write(state: &State, incoming: &mut Option<Incoming>, chunk: Bytes) -> Result<(), Answer> {
    let Some(mut taken) = incoming.take() else {
        return Err(Answer::failed());
    };
    let work = move || taken.write(&chunk).map(|()| taken);
    let written = state.on_disk(work).await.map_err(|_| Answer::failed())?;
    *incoming = Some(written.map_err(unkept)?);
    Ok(())
}

async fn finish(
    state: &State,
    incoming: Option<Incoming>,
    expected: Option<Digest>,
) -> Result<(Digest, Held), Answer> {
    let incoming = incoming.ok_or_else(Answer::failed)?;
    let finished = state.on_disk(move || incoming.finish(expected)).await;
    finished.map_err(|_| Answer::failed())?.map_err(unkept)
}

/// Reads JSON; no body is the same as `{}`.
pub(super) async fn json<B, T>(headers: &HeaderMap, body: B) -> Result<T, Answer>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
    T: DeserializeOwned,
{
    let reading = Limited::new(body, TEXT_BYTES_MAX).collect();
    let read = tokio::time::timeout(SILENCE, reading).await;
    let read = read.map_err(|_| {
        Answer::problem(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not come",
        )
    })?;
    let bytes = match read {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let detail = format!("JSON of more than {TEXT_BYTES_MAX} bytes is not taken");
            return Err(Answer::problem(StatusCode::PAYLOAD_TOO_LARGE, &detail));
        }
        Err(error) => {
            let detail = format!("the request's body could not be read: {error}");
            return Err(Answer::problem(StatusCode::BAD_REQUEST, &detail));
        }
    };
    let bytes = if bytes.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        bytes
    };
    if bytes != b"{}"[..] && !is_json(&media_type(headers)) {
        let detail = "the request's body is to be application/json";
        return Err(Answer::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("the request's body is not what it should be: {error}");
        Answer::problem(StatusCode::BAD_REQUEST, &detail)
    })
}

/// A text for people: printable, and not too long.
pub(super) fn plain(text: &str) -> String {
    let printable = text.chars().filter(|char| !char.is_control());
    printable.take(SOURCE_CHARS_MAX).collect()
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok());
    text.unwrap_or_default().to_owned()
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// A body's data; it ends with an error when nothing comes for too long.
fn chunks<B>(body: B) -> impl Stream<Item = std::io::Result<Bytes>> + Send
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>
        + Send
        + Unpin
        + 'static,
{
    let frames = BodyStream::new(body);
    futures::stream::unfold(Some(frames), |frames| async {
        let mut frames = frames?;
        loop {
            let next = match tokio::time::timeout(SILENCE, frames.next()).await {
                Ok(next) => next?,
                Err(_) => {
                    let late = std::io::Error::other("the request's body stopped coming");
                    return Some((Err(late), None));
                }
            };
            match next.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => return Some((Ok(data), Some(frames))),
                // Trailers.
                Ok(Err(_)) => {}
                Err(error) => return Some((Err(std::io::Error::other(error)), None)),
            }
        }
    })
}

fn malformed(error: multer::Error) -> Answer {
    let status = match error {
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        _ => StatusCode::BAD_REQUEST,
    };
    let detail = format!("the form can't be read: {}", telemetry::chain(&error));
    Answer::problem(status, &detail)
}

fn unkept(error: ArtifactError) -> Answer {
    let status = match error {
        ArtifactError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ArtifactError::Changed { .. } => StatusCode::BAD_REQUEST,
        ArtifactError::Unwritable { .. } | ArtifactError::Unreadable { .. } => {
            StatusCode::INSUFFICIENT_STORAGE
        }
    };
    Answer::problem(status, &telemetry::chain(&error))
}
