//! What files say of routes and of the gateway's policies.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::auth::RawAuth;
use super::{RawRateLimit, RawWebsocket};
use crate::config::answer;
use crate::config::units::{OneOrMore, Size, Span};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawRoute {
    pub(in crate::config) host: Option<String>,
    pub(in crate::config) path: Option<String>,
    pub(in crate::config) methods: Option<Vec<String>>,
    pub(in crate::config) strip_prefix: Option<bool>,
    pub(in crate::config) rewrite: Option<String>,
    pub(in crate::config) redirect: Option<RawRedirect>,
    pub(in crate::config) respond: Option<answer::Raw>,
    pub(in crate::config) websocket: Option<RawWebsocket>,
    pub(in crate::config) edge: Option<RawEdge>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawRedirect {
    pub(in crate::config) to: Option<String>,
    pub(in crate::config) status: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawAccessLog {
    pub(in crate::config) file: Option<String>,
    pub(in crate::config) format: Option<String>,
}

/// `[edge]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawEdge {
    pub(in crate::config) off: Option<OneOrMore>,
    pub(in crate::config) maintenance: Option<RawMaintenance>,
    pub(in crate::config) cors: Option<RawCors>,
    pub(in crate::config) compression: Option<RawCompression>,
    pub(in crate::config) auth: Option<RawAuth>,
    pub(in crate::config) rate_limit: Option<RawRateLimit>,
    pub(in crate::config) idempotency: Option<RawIdempotency>,
    pub(in crate::config) request_headers: Option<RawHeaderEdits>,
    pub(in crate::config) response_headers: Option<RawHeaderEdits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawMaintenance {
    pub(in crate::config) retry_after: Option<Span>,
    pub(in crate::config) except: Option<OneOrMore>,
    pub(in crate::config) status: Option<u16>,
    pub(in crate::config) headers: Option<BTreeMap<String, String>>,
    pub(in crate::config) body: Option<String>,
    pub(in crate::config) file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawCors {
    pub(in crate::config) origins: Option<OneOrMore>,
    pub(in crate::config) methods: Option<OneOrMore>,
    pub(in crate::config) headers: Option<OneOrMore>,
    pub(in crate::config) expose_headers: Option<OneOrMore>,
    pub(in crate::config) credentials: Option<bool>,
    pub(in crate::config) max_age: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawCompression {
    pub(in crate::config) codings: Option<OneOrMore>,
    pub(in crate::config) min_length: Option<Size>,
    pub(in crate::config) types: Option<OneOrMore>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawIdempotency {
    pub(in crate::config) required: Option<bool>,
    pub(in crate::config) methods: Option<OneOrMore>,
    pub(in crate::config) expiry: Option<Span>,
    pub(in crate::config) body_max: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawHeaderEdits {
    pub(in crate::config) set: Option<BTreeMap<String, String>>,
    pub(in crate::config) add: Option<BTreeMap<String, String>>,
    pub(in crate::config) remove: Option<Vec<String>>,
}
