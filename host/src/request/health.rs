//! Health checks: a service that wants them is asked again and again, each time in a fresh instance, and refused to
//! everybody while it does not answer as it should. A candidate on trial is asked, too; it is given up instead.

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
use crate::registry::{Course, Service, Snapshot};

/// A service that is new is noticed after so long.
const LOOK: Duration = Duration::from_secs(1);

/// What is checked: a service's running revision, or its candidate of this number.
type Subject = (ServiceName, Option<u64>);

/// Checks services for as long as the host lives, on the lane that this is polled on.
pub(crate) async fn watch(core: Arc<Core>) {
    let mut due: HashMap<Subject, Instant> = HashMap::new();
    let mut running: HashMap<Subject, JoinHandle<()>> = HashMap::new();
    loop {
        let (snapshot, now) = (core.registry.snapshot(), Instant::now());
        let subjects = subjects(&snapshot);
        due.retain(|subject, _| subjects.contains_key(subject));
        running.retain(|_, check| !check.is_finished());
        for (subject, (service, course)) in subjects {
            let Some(settings) = &service.config.tolerance.health else {
                continue;
            };
            let next = due.entry(subject.clone()).or_insert(now);
            if *next > now {
                continue;
            }
            *next = now + settings.interval;
            // One at a time, however much longer they take than the interval.
            if service.revision.is_some() && !running.contains_key(&subject) {
                let settings = settings.clone();
                let check = check(core.clone(), snapshot.clone(), service, course, settings);
                running.insert(subject, tokio::spawn(check));
            }
        }
        let next = due.values().copied().min();
        let soon = Instant::now() + LOOK;
        sleep_until(next.map_or(soon, |next| next.min(soon))).await;
    }
}

/// All that wants to be checked; for candidates, with where it is kept what is found.
fn subjects(snapshot: &Snapshot) -> HashMap<Subject, (Arc<Service>, Option<Arc<Course>>)> {
    let services = snapshot.services.values();
    let each = services.flat_map(|service| {
        let running = ((service.name.clone(), None), (service.clone(), None));
        let candidate = service.trial.as_ref().map(|trial| {
            let number = trial.candidate.revision.as_ref().map(|one| one.number);
            let course = trial.settings.course.clone();
            let found = (trial.candidate.clone(), Some(course));
            ((service.name.clone(), number), found)
        });
        [running].into_iter().chain(candidate)
    });
    let wants = |service: &Service| service.config.tolerance.health.is_some();
    each.filter(|(_, (service, _))| wants(service)).collect()
}

async fn check(
    core: Arc<Core>,
    snapshot: Arc<Snapshot>,
    service: Arc<Service>,
    course: Option<Arc<Course>>,
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
            answered.sender.hang_up();
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
    match course {
        Some(course) => note_of_candidate(&core, &course, found, &settings),
        None => note(&service, found, &settings),
    }
}

fn note(service: &Service, found: Result<(), String>, settings: &Settings) {
    if service.standing.guards.note_health(found.is_ok(), settings) {
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

/// Who decides about the rollout says in the log why it ends.
fn note_of_candidate(core: &Core, course: &Course, found: Result<(), String>, settings: &Settings) {
    if course.note_health(found, settings) && course.ailment().is_some() {
        core.alarm.notify_one();
    }
}
