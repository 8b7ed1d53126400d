//! The end of a revision: its requests finish, what is late is cut, and it is dropped.

use std::sync::Arc;

use tokio::time::timeout;

use crate::host::Core;
use crate::registry::Revision;

/// Lets `revision` drain in the background, for at most the drain time.
pub(super) fn retire(core: &Arc<Core>, revision: Arc<Revision>) {
    core.board.retiring(&revision);
    let limit = core.config.timeouts.drain;
    let task = async move {
        revision.instances.retire();
        let (service, number) = (revision.config.name.as_ref(), revision.number);
        if timeout(limit, revision.drained()).await.is_err() {
            let late = revision.leases();
            revision.instances.cut();
            tracing::warn!(
                service,
                revision = number,
                late,
                "requests were still on a retired revision after [timeouts] drain and were cut"
            );
        }
        tracing::debug!(service, revision = number, "revision retired");
    };
    // Not joined: it ends by itself, and the host's drain waits for its requests.
    drop(core.control.spawn(task));
}
