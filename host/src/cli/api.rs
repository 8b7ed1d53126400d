//! What the admin API says, as far as it is shown. Hosts of other versions may say more or less.

use serde::{Deserialize, Serialize};

/// An order was carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    pub(super) services: Vec<Standing>,
}

/// How a service stands after an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Standing {
    pub(super) service: String,
    /// `promoted`, `unchanged`, `rollout_begun`, `rolled_back`, `removed`, …
    pub(super) outcome: String,
    pub(super) revision: Option<u64>,
    /// `sha256:…`.
    pub(super) digest: Option<String>,
    pub(super) generation: Option<u64>,
    /// Why a rollout that was waited for did not go well. The host's answer has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

/// Something that happened to a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    /// None for what is only passing.
    pub(super) id: Option<i64>,
    pub(super) at_unix_ms: u64,
    pub(super) service: String,
    /// `deploying`, `stage`, `promoted`, `refused`, `rollout_step`, …
    pub(super) kind: String,
    pub(super) revision: Option<u64>,
    pub(super) digest: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) source: Option<String>,
    pub(super) detail: Option<String>,
}

/// `GET /v1/events`, without following: the newest first.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Events {
    pub(super) events: Vec<Event>,
}

/// How far a rollout is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Rollout {
    pub(super) revision: Option<u64>,
    /// `progressing`, `waiting` or `paused`.
    pub(super) phase: String,
    /// Percent of the requests that the candidate takes.
    pub(super) weight: u64,
    pub(super) step: u64,
    pub(super) steps: u64,
    pub(super) failed_checks: u64,
    pub(super) candidate: Figures,
    pub(super) running: Figures,
}

/// What one side of a rollout has done.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Figures {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) faults: u64,
    pub(super) p99_ms: Option<f64>,
}

/// `GET /v1/services/NAME`, or one of `GET /v1/services`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) revision: Option<u64>,
    pub(super) rollout: Option<Rollout>,
}

/// A word of the API as people read it.
pub(super) fn words(word: &str) -> String {
    super::style::harmless(&word.replace('_', " "))
}
