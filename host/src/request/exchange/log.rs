//! What the log says of a request that is over.

use std::time::Duration;

use http::StatusCode;

use super::Exchange;
use crate::fault::{Blame, Cause, Fault};
use crate::registry::Service;

impl Exchange {
    pub(super) fn log(&self, status: StatusCode, duration: Duration, bytes: u64) {
        let (id, service) = (self.id.as_str(), self.service().unwrap_or(""));
        let revision = self.revision.get().map_or(0, |revision| revision.number);
        let (method, path, status) = (self.method.as_str(), self.path.as_str(), status.as_u16());
        let caller = self
            .journey
            .caller
            .as_ref()
            .map(|caller| caller.service.as_ref());
        let duration_ms = (duration.as_secs_f64() * 1e6).round() / 1e3;
        let Some(fault) = self.fault() else {
            if self.log {
                tracing::info!(target: "skep::request", id, service, revision, caller, method, path, status, duration_ms, bytes);
            }
            return;
        };
        let (cause, blame, detail) = (
            fault.cause.as_str(),
            fault.cause.blame().as_str(),
            fault.detail.as_str(),
        );
        let blamed = match fault.cause {
            // There are many of them, just when there is no time to write about each.
            Cause::Overloaded => Blame::Caller,
            cause => cause.blame(),
        };
        match blamed {
            Blame::Caller if self.log => {
                tracing::info!(target: "skep::request", id, service, revision, caller, method, path, status, duration_ms, bytes, cause, blame, detail);
            }
            Blame::Caller => {}
            Blame::Guest => {
                tracing::warn!(target: "skep::request", id, service, revision, caller, method, path, status, duration_ms, bytes, cause, blame, detail);
            }
            Blame::Host => {
                tracing::error!(target: "skep::request", id, service, revision, caller, method, path, status, duration_ms, bytes, cause, blame, detail);
            }
        }
    }
}

/// Logs and counts what a guest did wrong after the answer to the request `id` was out; or after all answers, if `id` is
/// empty.
pub(crate) fn late(service: &Service, revision: u64, id: &str, fault: &Fault) {
    service.standing.traffic.late(fault.cause);
    let service = service.name.as_ref();
    let (cause, blame) = (fault.cause.as_str(), fault.cause.blame().as_str());
    let detail = fault.detail.as_str();
    tracing::warn!(target: "skep::request", id, service, revision, cause, blame, detail, "guest failed after its answer was out");
}
