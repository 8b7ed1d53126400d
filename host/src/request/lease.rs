//! Which revision a request runs on.

use std::sync::Arc;

use crate::fault::{Cause, Fault};
use crate::registry::{Lease, Revision, Service};

/// Whether there is a revision to wait for a turn on.
///
/// # Errors
/// [`Cause::NotReady`] when there is none yet.
pub(crate) fn exists(service: &Service) -> Result<(), Fault> {
    revision(service).map(drop)
}

/// Takes a lease on the service's current revision.
///
/// # Errors
/// [`Cause::NotReady`] when there is none yet.
pub(crate) fn current(service: &Service) -> Result<Lease, Fault> {
    revision(service).map(Revision::lease)
}

fn revision(service: &Service) -> Result<&Arc<Revision>, Fault> {
    service.revision.as_ref().ok_or_else(|| {
        Fault::new(
            Cause::NotReady,
            format!(
                "service {} has no running revision; see `skep ls`",
                service.name
            ),
        )
    })
}
