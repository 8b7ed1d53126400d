//! A recorded request, asked again of a revision that is told what was told then: aside from all other requests, counted
//! nowhere, and without a way to anybody else.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, timeout};

use super::exchange::Exchange;
use super::run::{self, Answered, Task};
use super::send;
use crate::capability::output::{LineBudget, Lines};
use crate::config::ServiceConfig;
use crate::config::service::record::Record;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Identity, Revision, Service};
use crate::replay::kept::{Answer, Collected, KeptBody, Recording, listed};
use crate::replay::report::Outcome;
use crate::replay::script::Script;
use crate::replay::told::Told;

/// Bytes of an answer beyond those of the recorded one.
const MORE_BYTES_MAX: u64 = 1 << 20;
/// How long the body of an answer may take beyond what its head may.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// For how long an instance that has answered, or failed to, may take to be gone.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Has `revision` answer the recorded request.
pub(crate) async fn ask(
    core: &Arc<Core>,
    revision: &Revision,
    recording: &Arc<Recording>,
) -> Outcome {
    let _turn = core.replays.turn().await;
    let script = Script::of(recording);
    let aside = Arc::new(aside(revision));
    let most = aside.config.limits.timeout + BODY_TIME_MAX;
    let answer = timeout(most, answer(core, &aside, &script)).await;
    let answer = answer.unwrap_or_else(|_| Err(Cause::BodyStalled.into()));
    // Its claims are given back by then.
    if timeout(END_TIMEOUT, aside.gone()).await.is_err() {
        aside.instances.cut();
    }
    Outcome {
        answer,
        aside,
        strays: script.strays(),
    }
}

/// The same revision for one request that is nobody's: it leaves no trace in the log, nor in how the revision's instances
/// are used.
fn aside(revision: &Revision) -> Revision {
    let mut config = ServiceConfig::clone(&revision.config);
    config.record = Record::default();
    config.instances.step_down = Duration::ZERO;
    let identity = Identity {
        number: revision.number,
        digest: revision.digest.clone(),
        config: Arc::new(config),
        origin: revision.origin.clone(),
        edges: Vec::new(),
        lines: Lines::default(),
    };
    let linked = (revision.backend.clone(), revision.contracts.clone());
    let mut aside = Revision::new(identity, linked, revision.claims);
    aside.output = LineBudget::silent();
    aside
}

async fn answer(
    core: &Arc<Core>,
    revision: &Arc<Revision>,
    script: &Arc<Script>,
) -> Result<Answer, Fault> {
    let Some(program) = revision.backend.program() else {
        return Err(Fault::new(Cause::HostFailed, "it is no component"));
    };
    let limits = &revision.config.limits;
    let standing = core.replays.standing(limits);
    let service = Arc::new(Service::running(revision, standing.clone()));
    let exchange = Exchange::check(core, &service);
    exchange.runs_on(revision);
    let slot = standing.gate.admit_at_once()?;
    let task = Task {
        request: request(&script.recording),
        exchange: exchange.clone(),
        errand: None,
        payer: None,
        told: Some(Told::Again(script.clone())),
        deadline: Instant::now() + limits.timeout,
    };
    let Answered { response, sender } =
        run::call(core, &standing, program, (slot, revision.lease()), task).await?;
    let checked = send::check(&response).map(drop);
    let collected = match checked {
        Ok(()) => collect(core, &script.recording, response).await,
        Err(fault) => Err(fault),
    };
    let failed = exchange.fault().cloned().or_else(|| sender.stopped());
    sender.hang_up();
    match failed {
        Some(fault) => Err(fault),
        None => collected,
    }
}

async fn collect(
    core: &Arc<Core>,
    recording: &Recording,
    response: http::Response<super::body::early::Early>,
) -> Result<Answer, Fault> {
    let most = MORE_BYTES_MAX
        + match &recording.answer.body {
            KeptBody::Whole(bytes) => bytes.len() as u64,
            KeptBody::Long { bytes, .. } => *bytes,
        };
    let (parts, mut body) = response.into_parts();
    let mut collected = Collected::default();
    while collected.bytes() <= most {
        let next = timeout(core.config.timeouts.body_idle, body.frame()).await;
        let next = next.map_err(|_| Fault::from(Cause::BodyStalled))?;
        let Some(frame) = next else { break };
        let frame = frame.map_err(|error| Fault::new(Cause::InvalidResponse, error))?;
        if let Some(data) = frame.data_ref() {
            collected.push(data);
        }
    }
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: listed(&parts.headers),
        body: collected.finish(),
    })
}

fn request(recording: &Recording) -> Request<wasmtime_wasi_http::WasiBody> {
    let body = Full::new(recording.body.clone()).map_err(|never| match never {});
    let mut request = Request::new(body.boxed_unsync());
    *request.method_mut() = recording.method.clone();
    *request.uri_mut() = recording.uri.clone();
    *request.version_mut() = recording.version;
    *request.headers_mut() = recording.headers.clone();
    request
}
