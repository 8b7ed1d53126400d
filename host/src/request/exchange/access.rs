//! What the access log says of a request, kept until its answer is over.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode, Uri, Version};
use skep_policy::access_log::Entry;

use crate::host::Core;
use crate::request::headers::Client;
use crate::telemetry::access_log::AccessLog;

/// A request as its client sent it.
#[derive(Debug)]
pub(crate) struct Visitor {
    log: Arc<AccessLog>,
    client: IpAddr,
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome<'a> {
    pub(crate) status: StatusCode,
    pub(crate) bytes: u64,
    pub(crate) duration: Duration,
    pub(crate) service: Option<&'a str>,
    pub(crate) fault: Option<&'a str>,
    pub(crate) request_id: &'a str,
    /// Who the client has proved to be.
    pub(crate) user: Option<&'a str>,
}

impl Visitor {
    /// None if nobody wants to know.
    pub(crate) fn of<B>(request: &Request<B>, client: &Client, core: &Core) -> Option<Self> {
        let log = core.access_log.clone()?;
        let header = |name| request.headers().get(name).cloned();
        Some(Self {
            log,
            client: client.ip,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            host: header(header::HOST),
            referer: header(header::REFERER),
            user_agent: header(header::USER_AGENT),
        })
    }

    /// Its answer is over.
    pub(crate) fn leaves(&self, outcome: &Outcome<'_>) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let authority = self.uri.authority().map(|host| host.as_str().as_bytes());
        let host = || self.host.as_ref().map(HeaderValue::as_bytes);
        self.log.write(&Entry {
            client: self.client,
            user: outcome.user,
            time: since_1970
                .unwrap_or_default()
                .saturating_sub(outcome.duration),
            method: self.method.as_str(),
            target: &self.target(),
            version: match self.version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2",
                _ => "1.1",
            },
            host: authority.or_else(host),
            status: outcome.status.as_u16(),
            bytes: outcome.bytes,
            referer: self.referer.as_ref().map(HeaderValue::as_bytes),
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            duration: outcome.duration,
            service: outcome.service,
            fault: outcome.fault,
            request_id: outcome.request_id,
        });
    }

    /// As the request line has it; over HTTP/2, which has none, as it would be there.
    fn target(&self) -> Cow<'_, str> {
        let is_path = self.version == Version::HTTP_2 || self.uri.authority().is_none();
        match self.uri.path_and_query().filter(|_| is_path) {
            Some(path) => path.as_str().into(),
            None => self.uri.to_string().into(),
        }
    }
}
