//! The end of a revision: its requests finish, what is late is cut, and it is dropped.

use std::sync::Arc;

use tokio::time::timeout;

use crate::host::Core;
use crate::registry::Revision;
use crate::state::{Commit, Happening, Kind};
use crate::telemetry;

/// Lets `revision` drain in the background, for at most the drain time. It is said to be retired when its last request
/// and its last instance are gone.
pub(super) fn retire(core: &Arc<Core>, revision: Arc<Revision>) {
    core.board.retiring(&revision);
    let of_task = core.clone();
    let task = async move {
        let core = of_task;
        revision.instances.retire();
        let (service, number) = (revision.config.name.as_ref(), revision.number);
        let drained = timeout(core.config.timeouts.drain, revision.drained());
        if drained.await.is_err() {
            let late = revision.leases();
            revision.cut();
            tracing::warn!(
                service,
                revision = number,
                late,
                "requests were still on a retired revision after [timeouts] drain and were cut"
            );
            revision.drained().await;
        }
        revision.gone().await;
        core.registry.gone(&revision.config.name);
        let gone = Happening::new(service, Kind::Retired).of(number, &revision.digest);
        let commit = Commit {
            happenings: vec![gone],
            ..Commit::default()
        };
        let written = core.state.commit(commit).await;
        let collected = written.and(core.state.collect().await);
        match collected {
            Ok(artifacts) => tracing::debug!(
                service,
                revision = number,
                artifacts = artifacts.len(),
                "revision retired"
            ),
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::error!(
                    service,
                    revision = number,
                    error,
                    "it could not be written down that a revision is retired"
                );
            }
        }
    };
    // Not joined: it ends by itself, and the host's drain waits for its requests.
    drop(core.control.spawn(task));
}
