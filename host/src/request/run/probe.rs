//! Whether a revision can be started at all.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi::WasiCtxBuilder;

use super::lull::Watched;
use super::meter::{Meter, Metered};
use super::{busy_lane, classify, store};
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::Revision;
use crate::telemetry::traffic::Held;

/// Instantiates the revision once, under the limits of a request, and drops the instance. What is no component needs none.
///
/// # Errors
/// What keeps the guest from being started.
pub async fn probe(core: &Arc<Core>, revision: Arc<Revision>) -> Result<(), Fault> {
    let Some(program) = revision.backend.program().cloned() else {
        return Ok(());
    };
    let meter = Arc::new(Meter::default());
    meter.grant(revision.config.limits.cpu);
    let timeout = revision.config.limits.timeout;
    let _turn = core.probes.acquire().await;
    let (done, outcome) = oneshot::channel();
    let future = {
        let (core, meter) = (core.clone(), meter.clone());
        Box::pin(async move {
            let nobody = (None, Arc::new(Semaphore::new(0)));
            let wasi = &mut WasiCtxBuilder::new();
            let mut store = store(
                &core,
                (&revision, &program),
                &meter,
                Held::default(),
                nobody,
                wasi,
            );
            let result = program
                .instance
                .instantiate_async(&mut store)
                .await
                .map(drop);
            let result = result.map_err(|error| {
                classify(&error, store.data(), &meter, Cause::InstantiationFailed)
            });
            // The receiver is gone only when the probe took too long.
            drop(done.send(result));
        })
    };
    let metered = Metered::new(busy_lane(core), meter, Watched::new(future), || {});
    let _task = AbortOnDropHandle::new(tokio::spawn(metered));
    match tokio::time::timeout(timeout, outcome).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Fault::new(
            Cause::HostFailed,
            "the probe's task ended without a word; see the log for a panic",
        )),
        Err(_) => Err(Fault::new(
            Cause::WallDeadline,
            "starting an instance took longer than [limits] timeout",
        )),
    }
}
