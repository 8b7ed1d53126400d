//! Answers that are always the same, and the headers that files may set.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use super::document::{Document, Scope};
use super::error::ConfigError;

const BODY_BYTES_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 64;
/// Headers that say how an answer is sent, which is the connection's matter.
const OF_CONNECTION: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "http2-settings",
];

/// An answer that is always the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticAnswer {
    /// The status: 200 to 599.
    pub status: u16,
    /// Names and values that are headers'.
    pub headers: Vec<(String, String)>,
    /// The body; at most 1 MiB.
    pub body: Vec<u8>,
}

/// What a file says of such an answer.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Raw {
    pub(super) status: Option<u16>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) body: Option<String>,
    pub(super) file: Option<String>,
}

pub(super) fn resolve(
    raw: Raw,
    default: StatusCode,
    scope: &Scope<'_>,
) -> Result<StaticAnswer, ConfigError> {
    let status = status(raw.status, default, scope)?;
    let body = body(raw.body, raw.file.as_deref(), scope)?;
    if matches!(status, 204 | 304) && !body.is_empty() {
        let what = format!("{status} has no body: leave out body and file");
        return Err(scope.error(&["status"], what));
    }
    Ok(StaticAnswer {
        status,
        headers: headers(raw.headers.unwrap_or_default(), scope)?,
        body,
    })
}

/// The name of a header that a file may set.
///
/// # Errors
/// Why it may not.
pub(super) fn header_name(name: &str) -> Result<HeaderName, &'static str> {
    match HeaderName::try_from(name) {
        Ok(name) if OF_CONNECTION.contains(&name.as_str()) => {
            Err("is the connection's to say: leave it out")
        }
        Ok(name) => Ok(name),
        Err(_) => Err("is no name of a header"),
    }
}

fn status(given: Option<u16>, default: StatusCode, scope: &Scope<'_>) -> Result<u16, ConfigError> {
    let status = given.unwrap_or(default.as_u16());
    if (200..=599).contains(&status) {
        return Ok(status);
    }
    Err(scope.error(
        &["status"],
        format!("{status} is no answer's: use 200 to 599"),
    ))
}

fn headers(
    given: BTreeMap<String, String>,
    scope: &Scope<'_>,
) -> Result<Vec<(String, String)>, ConfigError> {
    if given.len() > HEADERS_MAX {
        return Err(scope.error(&["headers"], format!("are more than {HEADERS_MAX}")));
    }
    for (name, value) in &given {
        let error = |what: &str| scope.error(&["headers", name], what);
        header_name(name).map_err(error)?;
        HeaderValue::try_from(value).map_err(|_| error("has a value that no header can have"))?;
    }
    Ok(given.into_iter().collect())
}

fn body(
    text: Option<String>,
    file: Option<&str>,
    scope: &Scope<'_>,
) -> Result<Vec<u8>, ConfigError> {
    let (key, body) = match (text, file) {
        (Some(_), Some(_)) => {
            return Err(scope.error(&["file"], "is given beside body: leave out one of them"));
        }
        (text, None) => ("body", text.unwrap_or_default()),
        (None, Some(file)) => {
            let path = scope.file_beside(&["file"], file)?;
            ("file", Document::read(&path)?.text().to_owned())
        }
    };
    if body.len() > BODY_BYTES_MAX {
        return Err(scope.error(&[key], format!("is larger than {BODY_BYTES_MAX} bytes")));
    }
    Ok(body.into_bytes())
}
