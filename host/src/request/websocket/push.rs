//! What a service says to its connections without being asked: `http://websocket.internal/ID`, which the host answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, Limited};
use serde::Serialize;
use skep_policy::name::ServiceName;
use skep_policy::websocket::{ConnectionId, Order, closing_code};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use super::connections::{Connections, Line, Unsent};
use super::event::{CLOSE_CODE, message};

/// How long a message may take to be written by its service.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an order is not carried out, as the service reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NotFound,
    WrongMethod,
    Forbidden,
    Gone,
    TooLarge,
    Full,
    NotText,
    NoCode,
    Unfinished,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Gone => StatusCode::GONE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotText | Self::NoCode | Self::Unfinished => StatusCode::BAD_REQUEST,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NotFound => "this is no id of a connection",
            Self::WrongMethod => {
                "POST sends a message, DELETE closes the connection, GET looks whether it is there"
            }
            Self::Forbidden => "the connection is another service's",
            Self::Gone => "the connection is gone",
            Self::TooLarge => "the message is larger than [route.websocket] message allows",
            Self::Full => "the client reads too slowly: [route.websocket] queue is full",
            Self::NotText => "the message is said to be text and is not UTF-8",
            Self::NoCode => "x-skep-close-code is no code that a service may close with",
            Self::Unfinished => "the message did not come to its end",
        }
    }
}

/// RFC 9457 problem details.
#[derive(Serialize)]
struct Problem {
    title: &'static str,
    status: u16,
}

/// Does what a guest of `service` asks for, as one of the requests that it may have under way.
///
/// # Errors
/// When the host fails; every refusal is an answer.
pub(crate) async fn answer(
    connections: Arc<Connections>,
    service: ServiceName,
    [of_instance, of_revision]: [Arc<Semaphore>; 2],
    request: Request<WasiBody>,
) -> Result<Response<WasiBody>, WasiError> {
    let closed = |_| WasiError::ConnectionLimitReached;
    let _permits = (
        of_instance.acquire_owned().await.map_err(closed)?,
        of_revision.acquire_owned().await.map_err(closed)?,
    );
    Ok(match carry_out(&connections, &service, request).await {
        Ok(status) => {
            let mut response = Response::new(body(Bytes::new()));
            *response.status_mut() = status;
            response
        }
        Err(refusal) => refuse(refusal),
    })
}

async fn carry_out(
    connections: &Connections,
    service: &ServiceName,
    request: Request<WasiBody>,
) -> Result<StatusCode, Refusal> {
    let order = Order::of(request.method().as_str()).ok_or(Refusal::WrongMethod)?;
    let id = request.uri().path().strip_prefix('/');
    let id = id.and_then(ConnectionId::parse).ok_or(Refusal::NotFound)?;
    let line = connections.find(id).ok_or(Refusal::Gone)?;
    if line.service != *service {
        return Err(Refusal::Forbidden);
    }
    if line.is_closed() {
        return Err(Refusal::Gone);
    }
    match order {
        Order::Look => Ok(StatusCode::NO_CONTENT),
        Order::Close => {
            let code = request.headers().get(CLOSE_CODE);
            let code = code.map(|code| code.to_str().unwrap_or_default());
            line.close(closing_code(code).ok_or(Refusal::NoCode)?);
            Ok(StatusCode::ACCEPTED)
        }
        Order::Send => send(&line, request).await,
    }
}

async fn send(line: &Line, request: Request<WasiBody>) -> Result<StatusCode, Refusal> {
    let (head, body) = request.into_parts();
    let most = usize::try_from(line.message_max).unwrap_or(usize::MAX);
    let body = timeout(MESSAGE_TIMEOUT, Limited::new(body, most).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Refusal::TooLarge),
        Ok(Err(_)) | Err(_) => return Err(Refusal::Unfinished),
    };
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let message = message(content_type, body).map_err(|_not_text| Refusal::NotText)?;
    line.send(message).map_err(|unsent| match unsent {
        Unsent::Gone => Refusal::Gone,
        Unsent::Full => Refusal::Full,
    })?;
    Ok(StatusCode::ACCEPTED)
}

fn refuse(refusal: Refusal) -> Response<WasiBody> {
    let problem = Problem {
        title: refusal.title(),
        status: refusal.status().as_u16(),
    };
    // Plain strings and a number: this can't fail.
    let text = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(body(text.into()));
    *response.status_mut() = refusal.status();
    let media_type = HeaderValue::from_static("application/problem+json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    if refusal == Refusal::WrongMethod {
        let allow = HeaderValue::from_static("POST, DELETE, GET");
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn body(bytes: Bytes) -> WasiBody {
    let never = |never: std::convert::Infallible| -> WasiError { match never {} };
    if bytes.is_empty() {
        return Empty::new().map_err(never).boxed_unsync();
    }
    Full::new(bytes).map_err(never).boxed_unsync()
}
