//! A candidate answers what the running revision has just answered. Its answers are compared, counted and thrown away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;

use futures::StreamExt;
use futures::stream::poll_fn;
use http::StatusCode;
use skep_policy::replay::Names;

use super::replay::apart;
use crate::fault::{Blame, Fault};
use crate::host::Core;
use crate::registry::Revision;
use crate::replay::kept::Recording;
use crate::replay::mirror::Mirror;
use crate::replay::report::{Differs, difference};
use crate::request::replay::ask;
use crate::telemetry::tally::Tally;

/// Requests of one candidate at a time, if others leave it the turns.
const AT_ONCE: usize = 2;

/// A candidate behind its mirror.
struct Behind {
    core: Arc<Core>,
    candidate: Arc<Revision>,
    tally: Arc<Tally>,
    differed: AtomicBool,
}

/// What the candidate answers to comes from the mirror, for as long as that is held. None if its manifest asks for none.
pub(super) fn before(
    core: &Arc<Core>,
    candidate: &Arc<Revision>,
    tally: &Arc<Tally>,
) -> Option<Arc<Mirror>> {
    let (mirror, mut coming) = Mirror::of(candidate.config.rollout.mirror)?;
    let behind = Behind {
        core: core.clone(),
        candidate: candidate.clone(),
        tally: tally.clone(),
        differed: AtomicBool::new(false),
    };
    // What still waits when the trial is over is not asked.
    let next = poll_fn(move |cx| match coming.is_closed() {
        true => Poll::Ready(None),
        false => coming.poll_recv(cx),
    });
    // Not joined: it ends with the mirror. Nobody waits for it, so it is behind all who somebody waits for.
    drop(core.busy_lane.spawn(async move {
        let all = next.for_each_concurrent(AT_ONCE, |recording| behind.answer(recording));
        all.await;
    }));
    Some(Arc::new(mirror))
}

impl Behind {
    async fn answer(&self, recording: Recording) {
        let (candidate, tally) = (&self.candidate, &self.tally);
        let recording = Arc::new(recording);
        let turn = self.core.replays.turn_of_mirror().await;
        let outcome = ask(&self.core, candidate, &recording).await;
        drop(turn);
        let Some(running) = self.running() else {
            return;
        };
        let is_hosts = |fault: &Fault| fault.cause.blame() == Blame::Host;
        if outcome.answer.as_ref().is_err_and(is_hosts) {
            return;
        }
        // What comes of being denied what it asks for would not come of its own requests.
        if outcome.strays.is_empty() {
            candidate.usage.include(&outcome.aside.usage);
            let (status, cause) = match &outcome.answer {
                Ok(answer) => (StatusCode::from_u16(answer.status).ok(), None),
                Err(fault) => (Some(fault.cause.status()), Some(fault.cause)),
            };
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            tally.count(status, cause);
        }
        let names = apart(candidate, &running);
        let found = difference(&recording, &recording.answer, outcome, &names);
        let mut redacted = [&running, candidate].into_iter();
        let has_secrets = redacted
            .any(|revision| recording.has_secrets(Names::redacted(&revision.config.record.redact)));
        let found = match has_secrets {
            true => found.map(Differs::concealed),
            false => found,
        };
        let differs = found.is_some();
        self.core.replays.add(candidate, &running, found);
        tally.mirrored(differs);
        if differs && !self.differed.swap(true, Relaxed) {
            let (service, revision) = (candidate.config.name.as_str(), candidate.number);
            tracing::warn!(
                service,
                revision,
                "a mirrored request was answered otherwise; see `skep diff {service}`"
            );
        }
    }

    /// The revision that runs beside the candidate; None if that is on trial no more.
    fn running(&self) -> Option<Arc<Revision>> {
        let snapshot = self.core.registry.snapshot();
        let service = snapshot.services.get(&self.candidate.config.name)?;
        let trial = service.trial.as_ref()?.candidate.revision.as_ref()?;
        let is_this = trial.number == self.candidate.number;
        is_this.then(|| service.revision.clone()).flatten()
    }
}
