//! A candidate answers the requests that the running revision has answered, before it answers any other.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use skep_policy::replay::Names;
use tokio::time::{Instant, sleep_until};

use super::{DeployError, Deployer};
use crate::registry::Revision;
use crate::replay::kept::Recording;
use crate::replay::report::{Differs, Report, difference};
use crate::request::replay::ask;

/// What all requests together may take; the rest is left out.
pub(super) const TIME_MAX: Duration = Duration::from_secs(30);
/// Requests of one candidate at a time.
const AT_ONCE: usize = 2;

impl Deployer {
    /// Has the candidate, if it is a component, answer what the running revision of its service keeps, if that keeps
    /// anything. How it did is reported.
    ///
    /// # Errors
    /// [`DeployError::Differs`] when answers differ, [`DeployError::Uncompared`] when there are none; both only if the
    /// candidate's manifest says that this matters, and it is not forced.
    pub(super) async fn replay(
        &self,
        candidate: &Arc<Revision>,
        is_forced: bool,
    ) -> Result<(), DeployError> {
        let name = &candidate.config.name;
        let running = self.core.registry.snapshot();
        let running = running.services.get(name);
        let Some(running) = running.and_then(|service| service.revision.clone()) else {
            return Ok(());
        };
        let recordings = running.kept.as_ref().map(|kept| kept.recordings());
        let recordings = recordings.unwrap_or_default();
        if recordings.is_empty() {
            return Ok(());
        }
        if candidate.backend.program().is_none() {
            return Ok(());
        }
        let recorded = recordings.len();
        self.stage(name, &format!("replaying {recorded} requests"));
        let report = self.replay_all(candidate, &running, recordings).await;
        let (requests, differing) = (report.requests, report.differing());
        let said = format!("replayed {requests} requests: {differing} differ");
        self.stage(name, &said);
        let (service, revision) = (name.as_str(), candidate.number);
        tracing::info!(service, revision, requests, differing, "{said}");
        let snapshot = self.core.registry.snapshot();
        let replays = &self.core.replays;
        replays.keep(report, |name| snapshot.services.contains_key(name));
        let matters = candidate.config.record.block && !is_forced;
        match (requests, differing) {
            (0, _) if matters => Err(DeployError::Uncompared { recorded }),
            (_, 1..) if matters => Err(DeployError::Differs {
                service: name.clone(),
                differing,
                requests,
            }),
            _ => Ok(()),
        }
    }

    async fn replay_all(
        &self,
        candidate: &Arc<Revision>,
        running: &Arc<Revision>,
        recordings: Vec<Arc<Recording>>,
    ) -> Report {
        let until = Instant::now() + TIME_MAX;
        let mut compared = futures::stream::iter(recordings)
            .map(|recording| self.compare(candidate, running, recording))
            .buffered(AT_ONCE)
            .take_until(sleep_until(until))
            .boxed();
        let mut report = Report::new(candidate, running);
        while let Some(one) = compared.next().await {
            if let Some(difference) = one {
                report.add(difference);
            }
        }
        report
    }

    /// How the candidate's answer differs; None if it can't be told.
    async fn compare(
        &self,
        candidate: &Arc<Revision>,
        running: &Arc<Revision>,
        recording: Arc<Recording>,
    ) -> Option<Option<Differs>> {
        let core = &self.core;
        let mut expected = recording.answer.clone();
        if recording.is_redacted {
            // Both are told the same then: that something is missing is no difference.
            expected = ask(core, running, &recording).await.answer.ok()?;
        }
        let outcome = ask(core, candidate, &recording).await;
        let names = apart(candidate, running);
        Some(difference(&recording, &expected, outcome, &names))
    }
}

/// Headers that may differ, or that nobody shall see.
pub(super) fn apart<'a>(candidate: &'a Revision, running: &'a Revision) -> [Names<'a>; 3] {
    let (of_candidate, of_running) = (&candidate.config.record, &running.config.record);
    [
        Names::ignored(&of_candidate.ignore),
        Names::redacted(&of_candidate.redact),
        Names::redacted(&of_running.redact),
    ]
}
