//! Which instance takes a request.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::attend::Guest;
use super::instance::Claimant;
use super::instances::Reach;
use super::program::Program;
use super::{Job, start};
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::pool::{Claim, Share};
use crate::registry::{Revision, Standing};
use crate::replay::told::Told;

/// Finds an instance for the job: one that is here already, a new one of the service's own share, one that is elsewhere,
/// a new one of what lies in common; or whatever of these is there first.
pub(super) async fn place(
    core: &Arc<Core>,
    standing: &Standing,
    (revision, program): (Arc<Revision>, &Arc<Program>),
    job: &mut Option<Box<Job>>,
    deadline: Instant,
) -> Result<(Claimant, Option<Guest>), Fault> {
    let (instances, share) = (&revision.instances, &standing.share);
    if job.as_ref().is_some_and(|job| job.exchange.is_check) {
        let claimed = timeout_at(deadline, share.claim(revision.claims)).await;
        let claim = claimed.map_err(|_| Fault::from(Cause::WallDeadline))?;
        let (Some(claim), Some(job)) = (claim, job.take()) else {
            return Err(Cause::HostFailed.into());
        };
        let started = start(core, standing, (revision, program), claim, job);
        started.0.instance.shut();
        return Ok(started);
    }
    if let Some(claim) = told(share, &revision, job, deadline).await? {
        let job = job.take().ok_or(Cause::HostFailed)?;
        return Ok(start(core, standing, (revision, program), claim, job));
    }
    if let Some(claimant) = instances.offer(job, Reach::OwnLane) {
        return Ok((claimant, None));
    }
    let mut claim = share.try_claim(revision.claims);
    if claim.is_none() {
        if let Some(claimant) = instances.offer(job, Reach::AnyLane) {
            return Ok((claimant, None));
        }
        claim = share.try_borrow(revision.claims);
    }
    if claim.is_none() {
        let waited = timeout_at(deadline, wait(share, &revision, job)).await;
        match waited.map_err(|_| Fault::from(Cause::WallDeadline))? {
            Ok(claimant) => return Ok((claimant, None)),
            Err(claimed) => claim = claimed,
        }
    }
    match (claim, job.take()) {
        (Some(claim), Some(job)) => Ok(start(core, standing, (revision, program), claim, job)),
        _ => Err(Cause::HostFailed.into()),
    }
}

/// A claim on an instance for a request that needs its own. One that would have to wait for it is not recorded.
async fn told(
    share: &Share,
    revision: &Revision,
    job: &mut Option<Box<Job>>,
    deadline: Instant,
) -> Result<Option<Claim>, Fault> {
    let Some(job) = job else { return Ok(None) };
    let notebook = match &job.told {
        None => return Ok(None),
        Some(Told::Again(_)) => {
            let claimed = timeout_at(deadline, share.claim(revision.claims)).await;
            return claimed.map_err(|_| Cause::WallDeadline.into());
        }
        Some(Told::Noted(notebook)) => notebook,
    };
    let own = share.try_claim(revision.claims);
    let claim = own.or_else(|| share.try_borrow(revision.claims));
    if claim.is_none() {
        notebook.tear();
        job.told = None;
    }
    Ok(claim)
}

/// Waits for room in an instance, which the job is handed to, or else for a claim on a new one.
async fn wait(
    share: &Share,
    revision: &Revision,
    job: &mut Option<Box<Job>>,
) -> Result<Claimant, Option<Claim>> {
    let mut claim = std::pin::pin!(share.claim(revision.claims));
    let waiting = revision.instances.wait();
    loop {
        let freed = waiting.freed();
        if let Some(claimant) = revision.instances.offer(job, Reach::AnyLane) {
            return Ok(claimant);
        }
        tokio::select! {
            biased;
            claim = claim.as_mut() => return Err(claim),
            () = freed => {}
        }
    }
}
