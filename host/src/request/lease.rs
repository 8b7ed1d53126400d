//! Which revision a request runs on.

use crate::fault::{Cause, Fault};
use crate::registry::{Lease, Service};

/// Takes a lease on the service's revision in the request's snapshot, from before it waits for its turn: until then the
/// revision is not done with.
///
/// # Errors
/// [`Cause::NotReady`] when there is none yet.
pub(crate) fn current(service: &Service) -> Result<Lease, Fault> {
    let revision = service.revision.as_ref().ok_or_else(|| {
        Fault::new(
            Cause::NotReady,
            format!(
                "service {} has no running revision; see `skep ls`",
                service.name
            ),
        )
    })?;
    Ok(revision.lease())
}
