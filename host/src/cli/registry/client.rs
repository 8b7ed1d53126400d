//! The registry's protocol (OCI distribution), as far as one image needs it.

use bytes::Bytes;
use http::header::{HeaderValue, LOCATION};
use http::{Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use indicatif::ProgressBar;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::timeout;

use self::exchange::ANSWER_TIMEOUT;
use super::credentials::Login;
use super::error::RegistryError;
use super::manifest::{Descriptor, MANIFESTS_ACCEPTED};
use super::progress::hidden;
use super::reference::{Reference, is_loopback};
use crate::cli::style::harmless;
use crate::cli::upload::Upload;
use crate::https;

mod exchange;

/// Of manifests, tokens and errors.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
const DETAIL_CHARS_MAX: usize = 300;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Pull,
    Push,
}

/// A repository of a registry, and what is known of how to ask it.
pub(super) struct Session {
    client: Client<https::Connector, Upload>,
    reference: Reference,
    /// Without a slash at the end.
    origin: Uri,
    access: Access,
    /// Looked up when the registry wants one.
    login: Option<Login>,
    /// What the registry wanted to have with requests so far.
    authorization: Option<HeaderValue>,
}

/// A request that can be made again.
struct Ask {
    method: Method,
    uri: Uri,
    accept: Option<&'static str>,
    content_type: Option<&'static str>,
    body: Bytes,
    bar: ProgressBar,
}

/// What registries say of an error.
#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorSaid>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorSaid {
    code: String,
    message: String,
}

impl Session {
    /// # Errors
    /// When the registry's address can't be used.
    pub(super) fn new(reference: &Reference, access: Access) -> Result<Self, RegistryError> {
        let origin = reference.origin();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(https::connector(None)),
            origin: origin.parse().map_err(|_| RegistryError::Elsewhere {
                registry: reference.host().to_owned(),
                url: origin,
            })?,
            reference: reference.clone(),
            access,
            login: None,
            authorization: None,
        })
    }

    /// The manifest, as it is stored, that has this tag or digest.
    ///
    /// # Errors
    /// Unless the registry has one.
    pub(super) async fn manifest(&mut self, version: &str) -> Result<Bytes, RegistryError> {
        let uri = self.at(&format!("manifests/{version}"))?;
        let mut ask = Ask::new(Method::GET, uri);
        ask.accept = Some(MANIFESTS_ACCEPTED);
        let answer = self.get(ask).await?;
        let answer = self.expect(answer).await?;
        self.read(answer, ANSWER_BYTES_MAX, &hidden()).await
    }

    /// A blob's bytes: never more than it says, and not checked otherwise.
    ///
    /// # Errors
    /// Unless the registry has them.
    pub(super) async fn blob(
        &mut self,
        blob: &Descriptor,
        bar: &ProgressBar,
    ) -> Result<Bytes, RegistryError> {
        let uri = self.at(&format!("blobs/{}", blob.digest))?;
        let answer = self.get(Ask::new(Method::GET, uri)).await?;
        let answer = self.expect(answer).await?;
        let read = self.read(answer, blob.size, bar).await;
        read.map_err(|error| match error {
            RegistryError::Foreign { .. } => RegistryError::Corrupt {
                reference: self.reference.to_string(),
                expected: blob.digest,
                found: format!("more than {} bytes", blob.size),
            },
            error => error,
        })
    }

    /// Stores a blob unless the registry has it.
    ///
    /// # Errors
    /// Unless the registry has it then.
    pub(super) async fn upload(
        &mut self,
        blob: &Descriptor,
        bytes: Bytes,
        bar: &ProgressBar,
    ) -> Result<(), RegistryError> {
        let there = self.at(&format!("blobs/{}", blob.digest))?;
        let answer = self.send(&Ask::new(Method::HEAD, there)).await?;
        if answer.status() == StatusCode::OK {
            return Ok(());
        }
        let start = self.at("blobs/uploads/")?;
        let answer = self.send(&Ask::new(Method::POST, start.clone())).await?;
        let answer = self.expect(answer).await?;
        let place = self.location(&start, &answer)?;
        let separator = if place.query().is_some() { '&' } else { '?' };
        let digest = blob.digest.to_string();
        let digest = utf8_percent_encode(&digest, NON_ALPHANUMERIC);
        let place = format!("{place}{separator}digest={digest}");
        let mut ask = Ask::new(Method::PUT, self.parse(&place)?);
        ask.content_type = Some("application/octet-stream");
        ask.body = bytes;
        ask.bar = bar.clone();
        let answer = self.send(&ask).await?;
        self.expect(answer).await.map(drop)
    }

    /// Gives a manifest its tag.
    ///
    /// # Errors
    /// Unless the registry takes it.
    pub(super) async fn put_manifest(
        &mut self,
        tag: &str,
        media_type: &'static str,
        manifest: Bytes,
    ) -> Result<(), RegistryError> {
        let mut ask = Ask::new(Method::PUT, self.at(&format!("manifests/{tag}"))?);
        ask.content_type = Some(media_type);
        ask.body = manifest;
        let answer = self.send(&ask).await?;
        self.expect(answer).await.map(drop)
    }

    fn registry(&self) -> String {
        self.reference.host().to_owned()
    }

    fn at(&self, path: &str) -> Result<Uri, RegistryError> {
        let repository = self.reference.repository();
        self.parse(&format!("{}v2/{repository}/{path}", self.origin))
    }

    /// A URL that may be asked: https, or http on this machine if the registry itself is there.
    fn parse(&self, url: &str) -> Result<Uri, RegistryError> {
        let allowed = |uri: &Uri| match uri.scheme_str() {
            Some("https") => true,
            Some("http") => {
                self.origin.scheme_str() == Some("http") && uri.host().is_some_and(is_loopback)
            }
            _ => false,
        };
        let uri = url.parse().ok().filter(allowed);
        uri.ok_or_else(|| RegistryError::Elsewhere {
            registry: self.registry(),
            url: harmless(url),
        })
    }

    /// Where an answer says to go on.
    fn location<B>(&self, asked: &Uri, answer: &Response<B>) -> Result<Uri, RegistryError> {
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let location = location.ok_or_else(|| RegistryError::Foreign {
            registry: self.registry(),
            what: "a redirection to nowhere",
        })?;
        if !location.starts_with('/') || location.starts_with("//") {
            return self.parse(location);
        }
        let (scheme, authority) = (asked.scheme_str(), asked.authority());
        let (scheme, authority) = (
            scheme.unwrap_or_default(),
            authority.map_or("", |authority| authority.as_str()),
        );
        self.parse(&format!("{scheme}://{authority}{location}"))
    }

    fn scope(&self) -> String {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        format!("repository:{}:{actions}", self.reference.repository())
    }

    fn unauthorised(&self) -> RegistryError {
        let registry = self.registry();
        match self.login {
            None | Some(Login::Anonymous) => RegistryError::NoLogin { registry },
            Some(_) => RegistryError::BadLogin { registry },
        }
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> RegistryError {
        RegistryError::Broken {
            registry: self.registry(),
            source,
        }
    }

    /// An answer of success as it is; any other as an error.
    async fn expect(
        &self,
        answer: Response<Incoming>,
    ) -> Result<Response<Incoming>, RegistryError> {
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refused(answer).await)
    }

    async fn refused(&self, answer: Response<Incoming>) -> RegistryError {
        let registry = self.registry();
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX as usize);
        // Without its body the status has to do.
        let body = timeout(ANSWER_TIMEOUT, body.collect()).await;
        let detail = match body {
            Ok(Ok(body)) => detail(&body.to_bytes()),
            _ => detail(&[]),
        };
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound {
                registry,
                reference: format!(
                    "{}, {}",
                    self.reference.repository(),
                    self.reference.version()
                ),
                detail,
            },
            StatusCode::FORBIDDEN => RegistryError::Forbidden {
                registry,
                access: match self.access {
                    Access::Pull => "pull from",
                    Access::Push => "push to",
                },
                repository: self.reference.repository().to_owned(),
                detail,
            },
            status => RegistryError::Refused {
                registry,
                status,
                detail,
            },
        }
    }
}

impl Ask {
    fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            accept: None,
            content_type: None,
            body: Bytes::new(),
            bar: hidden(),
        }
    }
}

/// What an answer says of an error, or else that it says nothing.
fn detail(body: &[u8]) -> String {
    let said = serde_json::from_slice::<Errors>(body);
    let said = said.ok().and_then(|said| said.errors.into_iter().next());
    let text = said.map_or_else(
        || "it says nothing more".to_owned(),
        |said| match said.message.is_empty() {
            true => said.code,
            false => said.message,
        },
    );
    harmless(&text.chars().take(DETAIL_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(reference: &str) -> Session {
        Session::new(&reference.parse().unwrap(), Access::Pull).unwrap()
    }

    fn led(reference: &str, location: &str) -> Result<String, RegistryError> {
        let session = session(reference);
        let answer = Response::builder().header(LOCATION, location).body(());
        let asked = session.at("blobs/uploads/").unwrap();
        let uri = session.location(&asked, &answer.unwrap());
        uri.map(|uri| uri.to_string())
    }

    #[test]
    fn redirections_are_followed_where_nobody_can_listen() {
        assert_eq!(
            led("registry.example/a", "/v2/x?y").unwrap(),
            "https://registry.example/v2/x?y"
        );
        let elsewhere = "https://cdn.example/x";
        assert_eq!(led("registry.example/a", elsewhere).unwrap(), elsewhere);
        let here = "http://localhost:1/x";
        assert_eq!(led("127.0.0.1:5000/a", here).unwrap(), here);
        for (reference, location) in [
            ("registry.example/a", "http://registry.example/x"),
            ("registry.example/a", "http://127.0.0.1/x"),
            ("127.0.0.1:5000/a", "http://cdn.example/x"),
            ("registry.example/a", "//cdn.example/x"),
            ("registry.example/a", "file:///etc/passwd"),
        ] {
            let error = led(reference, location).unwrap_err();
            assert!(matches!(error, RegistryError::Elsewhere { .. }), "{error}");
        }
    }

    #[test]
    fn a_login_goes_to_the_registry_alone() {
        let session = session("registry.example/a");
        let is_registry = |url: &str| session.is_registry(&url.parse().unwrap());
        assert!(is_registry("https://registry.example/v2/"));
        for url in [
            "http://registry.example/v2/",
            "https://registry.example:444/v2/",
            "https://cdn.example/",
        ] {
            assert!(!is_registry(url), "{url}");
        }
    }

    #[test]
    fn errors_are_told_as_the_registry_says_them() {
        let said = br#"{"errors": [{"code": "DENIED", "message": "no\u001b[2J"}, {"code": "X"}]}"#;
        assert_eq!(detail(said), "no\\u{1b}[2J");
        assert_eq!(detail(br#"{"errors": [{"code": "DENIED"}]}"#), "DENIED");
        assert_eq!(detail(b"<html>"), "it says nothing more");
    }
}
