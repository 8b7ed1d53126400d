//! Health checks: a service that wants them is asked again and again, each time in a fresh instance, and refused to
//! everybody while it does not answer as it should.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use skep_policy::health::Settings;
use skep_policy::name::ServiceName;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::exchange::Exchange;
use super::visit::Visit;
use crate::fault::Blame;
use crate::host::Core;
use crate::registry::{Service, Snapshot};

/// A service that is new is noticed after so long.
const LOOK: Duration = Duration::from_secs(1);

/// Checks services for as long as the host lives, on the lane that this is polled on.
pub(crate) async fn watch(core: Arc<Core>) {
    let mut due: HashMap<ServiceName, Instant> = HashMap::new();
    let mut running: HashMap<ServiceName, JoinHandle<()>> = HashMap::new();
    loop {
        let (snapshot, now) = (core.registry.snapshot(), Instant::now());
        due.retain(|name, _| snapshot.services.contains_key(name));
        running.retain(|_, check| !check.is_finished());
        for service in snapshot.services.values() {
            let Some(settings) = &service.config.tolerance.health else {
                continue;
            };
            let next = due.entry(service.name.clone()).or_insert(now);
            if *next > now {
                continue;
            }
            *next = now + settings.interval;
            // One at a time, however much longer they take than the interval.
            if service.revision.is_some() && !running.contains_key(&service.name) {
                let check = check(
                    core.clone(),
                    snapshot.clone(),
                    service.clone(),
                    settings.clone(),
                );
                running.insert(service.name.clone(), tokio::spawn(check));
            }
        }
        let next = due.values().copied().min();
        let soon = Instant::now() + LOOK;
        sleep_until(next.map_or(soon, |next| next.min(soon))).await;
    }
}

async fn check(
    core: Arc<Core>,
    snapshot: Arc<Snapshot>,
    service: Arc<Service>,
    settings: Settings,
) {
    let exchange = Exchange::check(&core, &service);
    let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let host = format!("{}.internal", service.name);
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("http://{host}{}", settings.path))
        .header("host", host)
        .header("user-agent", "skep-health");
    // The path was checked when the manifest was read.
    let Ok(request) = request.body(nothing) else {
        return;
    };
    let until = Some(Instant::now() + settings.timeout);
    let visit = Visit::new(&core, &snapshot, &service, &exchange, None).until(until);
    let answered = visit.attempt(request).await;
    let found = match answered {
        Ok(answered) => {
            let status = answered.response.status();
            // The head says it all.
            answered.claimant.hang_up();
            if status.is_success() || status.is_redirection() {
                Ok(())
            } else {
                Err(format!("{} was answered with {status}", settings.path))
            }
        }
        Err(fault) if fault.cause.blame() == Blame::Guest => Err(fault.to_string()),
        // It says nothing about the service.
        Err(_) => return,
    };
    let is_good = found.is_ok();
    if service.standing.guards.note_health(is_good, &settings) {
        let name = service.name.as_ref();
        match found {
            Ok(()) => tracing::info!(service = name, "the service is healthy again"),
            Err(why) => tracing::warn!(
                service = name,
                why,
                "the service is unhealthy and gets no requests"
            ),
        }
    }
}
