//! What the access log says of a request, kept until its answer is over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode, Version};
use skep_policy::access_log::Entry;
use tokio::time::Instant;

use crate::host::Core;
use crate::request::headers::Client;
use crate::telemetry::access_log::AccessLog;

/// A request as its client sent it.
#[derive(Debug)]
pub(crate) struct Visitor {
    log: Arc<AccessLog>,
    client: IpAddr,
    came: Duration,
    started: Instant,
    method: Method,
    target: String,
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
        let uri = request.uri();
        // Over HTTP/2 there is no request line: what stands for it is what it would be.
        let path = uri.path_and_query();
        let target = path.filter(|_| request.version() == Version::HTTP_2);
        let authority = uri.authority();
        let authority = authority.and_then(|host| HeaderValue::try_from(host.as_str()).ok());
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Some(Self {
            log,
            client: client.ip,
            came: since_1970.unwrap_or_default(),
            started: Instant::now(),
            method: request.method().clone(),
            target: target.map_or_else(|| uri.to_string(), ToString::to_string),
            version: request.version(),
            host: authority.or_else(|| header(header::HOST)),
            referer: header(header::REFERER),
            user_agent: header(header::USER_AGENT),
        })
    }

    /// Its answer is over.
    pub(crate) fn leaves(&self, outcome: &Outcome<'_>) {
        self.log.write(&Entry {
            client: self.client,
            user: outcome.user,
            time: self.came,
            method: self.method.as_str(),
            target: &self.target,
            version: match self.version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2",
                _ => "1.1",
            },
            host: self.host.as_ref().map(HeaderValue::as_bytes),
            status: outcome.status.as_u16(),
            bytes: outcome.bytes,
            referer: self.referer.as_ref().map(HeaderValue::as_bytes),
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            duration: self.started.elapsed(),
            service: outcome.service,
            fault: outcome.fault,
            request_id: outcome.request_id,
        });
    }
}
