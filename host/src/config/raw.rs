//! What configuration files say, key by key: all optional, nothing unknown. Seen by the resolvers only.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::units::{OneOrMore, RawCommand, Size, Span};

mod auth;
mod edge;
mod websocket;

pub(super) use self::auth::*;
pub(super) use self::edge::*;
pub(super) use self::websocket::*;

/// `service.toml`, `NAME.toml`, or a `[[service]]` in `skep.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawService {
    pub(super) name: Option<String>,
    pub(super) component: Option<String>,
    pub(super) upstream: Option<OneOrMore>,
    pub(super) preserve_host: Option<bool>,
    pub(super) upstream_ca: Option<String>,
    pub(super) files: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) spa: Option<String>,
    pub(super) env_inherit: Option<Vec<String>>,
    pub(super) route: Option<Vec<RawRoute>>,
    pub(super) edge: Option<RawEdge>,
    pub(super) limits: Option<RawLimits>,
    pub(super) instances: Option<RawInstances>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) allow: Option<RawAllow>,
    pub(super) retry: Option<RawRetry>,
    pub(super) breaker: Option<RawBreaker>,
    pub(super) rate_limit: Option<RawRateLimit>,
    pub(super) fallback: Option<RawFallback>,
    pub(super) health: Option<RawHealth>,
    pub(super) callee: Option<BTreeMap<String, RawCallee>>,
    pub(super) rollout: Option<RawRollout>,
    pub(super) record: Option<RawRecord>,
    pub(super) build: Option<RawBuild>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawRollout {
    pub(super) strategy: Option<String>,
    pub(super) steps: Option<Vec<RawStep>>,
    pub(super) step_weight: Option<u8>,
    pub(super) max_weight: Option<u8>,
    pub(super) interval: Option<Span>,
    pub(super) auto_promote_after: Option<Span>,
    pub(super) sticky: Option<String>,
    pub(super) mirror: Option<u8>,
    pub(super) allow_breaking: Option<bool>,
    pub(super) analysis: Option<RawAnalysis>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawStep {
    pub(super) weight: Option<u8>,
    pub(super) pause: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawAnalysis {
    pub(super) interval: Option<Span>,
    pub(super) threshold: Option<u32>,
    pub(super) minimum_samples: Option<u64>,
    pub(super) success_rate: Option<f64>,
    pub(super) p99: Option<Span>,
    pub(super) faults: Option<u64>,
    pub(super) compare: Option<RawCompare>,
    pub(super) metric: Option<Vec<RawThreshold>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawCompare {
    pub(super) success_rate: Option<f64>,
    pub(super) p99: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawThreshold {
    pub(super) name: Option<String>,
    pub(super) max: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) max_ratio: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawRecord {
    pub(super) requests: Option<u32>,
    pub(super) every: Option<u32>,
    pub(super) redact: Option<Vec<String>>,
    pub(super) block: Option<bool>,
    pub(super) ignore: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawBuild {
    pub(super) command: Option<RawCommand>,
    pub(super) watch: Option<OneOrMore>,
}

/// `[callee.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawCallee {
    pub(super) concurrency: Option<u32>,
    pub(super) timeout: Option<Span>,
    pub(super) retry: Option<RawRetry>,
    pub(super) breaker: Option<RawBreaker>,
    pub(super) rate_limit: Option<RawRateLimit>,
    pub(super) fallback: Option<RawFallback>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawHealth {
    pub(super) path: Option<String>,
    pub(super) interval: Option<Span>,
    pub(super) timeout: Option<Span>,
    pub(super) unhealthy_threshold: Option<u32>,
    pub(super) healthy_threshold: Option<u32>,
    pub(super) required: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawRetry {
    pub(super) attempts: Option<u32>,
    pub(super) per_try_timeout: Option<Span>,
    pub(super) backoff: Option<Span>,
    pub(super) backoff_max: Option<Span>,
    pub(super) budget_percent: Option<u8>,
    pub(super) budget_min: Option<u32>,
    pub(super) on: Option<Vec<String>>,
    pub(super) statuses: Option<Vec<u16>>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) retry_unobserved: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawBreaker {
    pub(super) window_calls: Option<u32>,
    pub(super) window_time: Option<Span>,
    pub(super) minimum_calls: Option<u32>,
    pub(super) failure_rate: Option<u8>,
    pub(super) slow_call_rate: Option<u8>,
    pub(super) slow_call_duration: Option<Span>,
    pub(super) open: Option<Span>,
    pub(super) half_open_calls: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawRateLimit {
    pub(super) requests_per_second: Option<f64>,
    pub(super) burst: Option<u32>,
    pub(super) key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawFallback {
    pub(super) on: Option<Vec<String>>,
    pub(super) service: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) body: Option<String>,
    pub(super) file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawLimits {
    pub(super) memory: Option<Size>,
    pub(super) cpu: Option<Span>,
    pub(super) timeout: Option<Span>,
    pub(super) concurrency: Option<u32>,
    pub(super) queue: Option<u32>,
    pub(super) body: Option<Size>,
    pub(super) adaptive: Option<bool>,
    pub(super) priority: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawInstances {
    pub(super) reuse: Option<u32>,
    pub(super) concurrency: Option<u32>,
    pub(super) step_down: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawAllow {
    pub(super) services: Option<Vec<String>>,
    pub(super) hosts: Option<Vec<String>>,
}

/// `skep.toml`. Each `[[service]]` is read on its own, so that a bad one spoils no other.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawHost {
    pub(super) listen: Option<OneOrMore>,
    pub(super) trusted_proxies: Option<OneOrMore>,
    pub(super) access_log: Option<RawAccessLog>,
    pub(super) admin: Option<String>,
    pub(super) admin_token: Option<String>,
    pub(super) admin_token_file: Option<String>,
    pub(super) token: Option<Vec<RawToken>>,
    pub(super) trust: Option<RawTrust>,
    pub(super) tls: Option<RawTls>,
    pub(super) edge: Option<RawEdge>,
    pub(super) state: Option<String>,
    pub(super) cache: Option<String>,
    pub(super) revision_history_limit: Option<usize>,
    pub(super) services: Option<String>,
    pub(super) service: Option<Vec<IgnoredAny>>,
    pub(super) timeouts: Option<RawTimeouts>,
    pub(super) connections: Option<RawConnections>,
    pub(super) calls: Option<RawCalls>,
    pub(super) pool: Option<RawPool>,
    pub(super) compile: Option<RawCompile>,
    pub(super) log: Option<RawLog>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawToken {
    pub(super) name: Option<String>,
    pub(super) role: Option<String>,
    pub(super) sha256: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawTrust {
    pub(super) keys: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawTls {
    pub(super) listen: Option<OneOrMore>,
    pub(super) certificate: Option<Vec<RawCertificate>>,
    pub(super) strict_sni: Option<bool>,
    pub(super) min_version: Option<String>,
    pub(super) client_ca: Option<String>,
    pub(super) client_auth: Option<String>,
    pub(super) redirect: Option<bool>,
    pub(super) redirect_port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawCertificate {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawTimeouts {
    pub(super) header: Option<Span>,
    pub(super) body_idle: Option<Span>,
    pub(super) idle: Option<Span>,
    pub(super) drain: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawConnections {
    pub(super) max: Option<usize>,
    pub(super) header_bytes: Option<Size>,
    pub(super) headers_max: Option<usize>,
    pub(super) websockets: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawCalls {
    pub(super) depth: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawPool {
    pub(super) instances: Option<u32>,
    pub(super) memory_max: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawCompile {
    pub(super) memory: Option<Size>,
    pub(super) timeout: Option<Span>,
    pub(super) parallel: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct RawLog {
    pub(super) requests: Option<bool>,
    pub(super) json: Option<bool>,
}
