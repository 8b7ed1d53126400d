//! Answers in a service's place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use skep_policy::name::ServiceName;
use skep_policy::quote::quoted;

use super::causes;
use crate::config::document::{Document, Scope};
use crate::config::error::ConfigError;
use crate::config::raw::RawFallback;
use crate::config::service::absolute;
use crate::fault::Cause;

const BODY_BYTES_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 64;

/// An answer in the service's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// For requests that failed so.
    pub on: BTreeSet<Cause>,
    /// What is answered.
    pub answer: FallbackAnswer,
}

/// What is answered in a service's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FallbackAnswer {
    /// What another service answers.
    Service(ServiceName),
    /// Always the same.
    Static {
        /// The status: 200 to 599.
        status: u16,
        /// Names and values that are headers'.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
}

pub(super) fn resolve(
    raw: RawFallback,
    of: &ServiceName,
    scope: &Scope<'_>,
) -> Result<Fallback, ConfigError> {
    let on = causes(
        raw.on.as_deref(),
        |cause| cause.status().is_server_error(),
        scope,
    )?;
    let is_static =
        raw.status.is_some() || raw.headers.is_some() || raw.body.is_some() || raw.file.is_some();
    let answer = match (raw.service, is_static) {
        (Some(_), true) => {
            let what = "is given beside status, headers, body or file: leave out one kind";
            return Err(scope.error(&["service"], what));
        }
        (None, false) => {
            let what = "answers nothing: add `service = \"NAME\"`, or `status`, `headers` and `body` or `file`";
            return Err(scope.error(&[], what));
        }
        (Some(service), false) if service == of.as_str() => {
            return Err(scope.error(&["service"], "is the service itself: name another"));
        }
        (Some(service), false) => FallbackAnswer::Service(
            ServiceName::try_from(service).map_err(|error| scope.error(&["service"], error))?,
        ),
        (None, true) => {
            let status = status(raw.status, scope)?;
            let body = body(raw.body, raw.file.as_deref(), scope)?;
            if matches!(status, 204 | 304) && !body.is_empty() {
                let what = format!("{status} has no body: leave out body and file");
                return Err(scope.error(&["status"], what));
            }
            let headers = headers(raw.headers.unwrap_or_default(), scope)?;
            FallbackAnswer::Static {
                status,
                headers,
                body,
            }
        }
    };
    Ok(Fallback { on, answer })
}

fn status(given: Option<u16>, scope: &Scope<'_>) -> Result<u16, ConfigError> {
    let status = given.unwrap_or(StatusCode::OK.as_u16());
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
    const OWN: [&str; 4] = [
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
    ];
    if given.len() > HEADERS_MAX {
        return Err(scope.error(&["headers"], format!("are more than {HEADERS_MAX}")));
    }
    for (name, value) in &given {
        let error = |what: &str| Err(scope.error(&["headers", name], what));
        match HeaderName::try_from(name) {
            Ok(name) if !OWN.contains(&name.as_str()) => {}
            Ok(_) => return error("is the connection's to say: leave it out"),
            Err(_) => return error("is no name of a header"),
        }
        if HeaderValue::try_from(value).is_err() {
            return error("has a value that no header can have");
        }
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
            let relative = Path::new(file);
            let goes_up = relative
                .components()
                .any(|part| part == Component::ParentDir);
            if goes_up || relative.is_absolute() {
                let what = format!(
                    "{} leaves the manifest's folder: put the file beside the manifest",
                    quoted(file)
                );
                return Err(scope.error(&["file"], what));
            }
            let path = absolute(&scope.document().folder().join(relative))?;
            ("file", Document::read(&path)?.text().to_owned())
        }
    };
    if body.len() > BODY_BYTES_MAX {
        return Err(scope.error(&[key], format!("is larger than {BODY_BYTES_MAX} bytes")));
    }
    Ok(body.into_bytes())
}
