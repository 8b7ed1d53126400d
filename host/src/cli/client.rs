//! A host's admin API, asked over HTTP: bounded in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

pub use self::error::ClientError;
pub(super) use self::feed::Feed;
pub(super) use self::form::Form;
use super::upload::Upload;
use crate::cli::style::harmless;

mod error;
mod events;
mod feed;
mod form;
#[cfg(test)]
mod tests;

/// For a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a question, and for the head of a stream.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// For an order: what is sent, compiled, started and checked before it is answered. A host bounds each of these.
const ORDER_TIMEOUT: Duration = Duration::from_mins(15);
/// Between probes of a connection on which nothing is said: a host that is gone is noticed.
const KEEPALIVE: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(CONNECT_TIMEOUT.as_millis() < ASK_TIMEOUT.as_millis());
const _: () = assert!(ASK_TIMEOUT.as_millis() < ORDER_TIMEOUT.as_millis());

/// A host's admin API.
#[derive(Debug)]
pub(super) struct Target {
    /// Without a slash at the end.
    url: String,
    authorization: Option<HeaderValue>,
    client: Client<HttpConnector, Upload>,
}

/// A request to it.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    accept: HeaderValue,
    body: Upload,
    timeout: Duration,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>, timeout: Duration) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            accept: HeaderValue::from_static("application/json"),
            body: Upload::empty(),
            timeout,
        }
    }

    /// A question, answered at once.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, ASK_TIMEOUT)
    }

    /// An order, which may take minutes.
    pub(super) fn order(method: Method, path: impl Into<String>) -> Self {
        Self::new(method, path, ORDER_TIMEOUT)
    }

    /// With this instead of JSON for an answer.
    pub(super) fn accept(mut self, media_type: &'static str) -> Self {
        self.accept = HeaderValue::from_static(media_type);
        self
    }

    /// With a header.
    pub(super) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// With JSON for a body.
    pub(super) fn json(self, value: &serde_json::Value) -> Self {
        let body = Upload::whole(value.to_string().into(), ProgressBar::hidden());
        let json = HeaderValue::from_static("application/json");
        Self { body, ..self }.header(CONTENT_TYPE.as_str(), json)
    }

    /// With bytes for a body, shown on `bar` as they go.
    pub(super) fn bytes(self, bytes: Bytes, bar: ProgressBar) -> Self {
        let body = Upload::whole(bytes, bar);
        let plain = HeaderValue::from_static("application/octet-stream");
        Self { body, ..self }.header(CONTENT_TYPE.as_str(), plain)
    }

    /// With a form for a body, shown on `bar` as it goes.
    pub(super) fn form(self, form: Form, bar: ProgressBar) -> Self {
        let multipart = HeaderValue::try_from(form.content_type());
        let body = form.into_upload(bar);
        let ask = Self { body, ..self };
        match multipart {
            Ok(multipart) => ask.header(CONTENT_TYPE.as_str(), multipart),
            // A boundary is letters and digits.
            Err(_) => ask,
        }
    }
}

impl Target {
    /// # Errors
    /// When the URL or the token can't be used.
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        let authorization = token
            .map(|token| HeaderValue::try_from(format!("Bearer {token}")))
            .transpose();
        let mut authorization = authorization.map_err(|_| ClientError::Token)?;
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_keepalive(Some(KEEPALIVE));
        Ok(Self {
            url: usable(url)?,
            authorization,
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Without a slash at the end.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for `path` and returns the answer's body.
    ///
    /// # Errors
    /// Unless the status is one of success.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, ClientError> {
        self.send(Ask::get(path)).await
    }

    /// Asks for `path` and reads the answer as JSON.
    ///
    /// # Errors
    /// Unless it is that.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.decode(&self.get(path).await?)
    }

    /// Sends a request and returns the answer's body.
    ///
    /// # Errors
    /// Unless the status is one of success.
    pub(super) async fn send(&self, ask: Ask) -> Result<Bytes, ClientError> {
        let after = ask.timeout;
        let exchange = async {
            let response = self.exchange(ask).await?;
            self.whole(response).await
        };
        timeout(after, exchange)
            .await
            .unwrap_or_else(|_| Err(self.late(after)))
    }

    /// Follows a stream of messages.
    ///
    /// # Errors
    /// Unless there is one.
    pub(super) async fn follow(&self, path: impl Into<String>) -> Result<Feed<'_>, ClientError> {
        Feed::open(self, path.into()).await
    }

    /// Reads an answer as JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub(super) fn decode<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(answer).map_err(|error| self.foreign(error))
    }

    /// An answer of success whose body goes on.
    async fn open(&self, ask: Ask) -> Result<Response<Incoming>, ClientError> {
        let after = ask.timeout;
        timeout(after, self.exchange(ask))
            .await
            .unwrap_or_else(|_| Err(self.late(after)))
    }

    async fn exchange(&self, ask: Ask) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::new(ask.body);
        *request.method_mut() = ask.method;
        let uri = format!("{}{}", self.url, ask.path);
        *request.uri_mut() = uri.parse().map_err(|_| ClientError::Url { url: uri })?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, ask.accept);
        headers.extend(ask.headers);
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let response = self.client.request(request).await;
        let response = response.map_err(|error| self.failed(error))?;
        let (url, status) = (self.url.clone(), response.status());
        match status {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED => Err(ClientError::Unauthorised { url }),
            status => match detail(&self.whole(response).await?) {
                Some(detail) => Err(ClientError::Refused { status, detail }),
                None => Err(ClientError::Mute { url, status }),
            },
        }
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|source| ClientError::Broken {
            url: self.url.clone(),
            source,
        })?;
        Ok(body.to_bytes())
    }

    fn failed(&self, error: legacy::Error) -> ClientError {
        let url = self.url.clone();
        match error.is_connect() {
            true => ClientError::NoHost { url, source: error },
            false => ClientError::Broken {
                url,
                source: error.into(),
            },
        }
    }

    fn late(&self, after: Duration) -> ClientError {
        ClientError::Timeout {
            url: self.url.clone(),
            after,
        }
    }

    /// Something that no host says.
    pub(super) fn foreign(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Foreign {
            url: self.url.clone(),
            source: source.into(),
        }
    }
}

/// A URL that can be asked, with its scheme and without a slash at the end.
fn usable(url: &str) -> Result<String, ClientError> {
    let bad = || ClientError::Url {
        url: url.to_owned(),
    };
    let with_scheme = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let uri: Uri = with_scheme.parse().map_err(|_| bad())?;
    match uri.scheme_str() {
        Some("http")
            if uri.query().is_none() && uri.host().is_some_and(|host| !host.is_empty()) =>
        {
            Ok(with_scheme.trim_end_matches('/').to_owned())
        }
        Some("https") => Err(ClientError::Tls {
            url: url.to_owned(),
        }),
        _ => Err(bad()),
    }
}

/// What problem details say, if there are any.
fn detail(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let problem: Problem = serde_json::from_slice(body).ok()?;
    Some(harmless(&problem.detail))
}
