//! The host's metrics as Prometheus reads them. Names are OpenTelemetry's where it has one.
//!
//! Only reads counters that are kept anyway: a scrape costs the request path nothing.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use self::text::{Family, Kind, Text};
use super::access_log::AccessLog;
use super::process::Process;
use super::traffic::{DURATION_BOUNDS, Traffic};
use skep_policy::breaker;

use crate::deploy::board::{Report, State};
use crate::fault::Cause;
use crate::host::Core;
use crate::registry::Service;

mod text;

/// The media type of what [`render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is measured outside of the core.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Open connections of the gateway.
    pub connections: usize,
    /// Log lines that were dropped.
    pub log_lines_dropped: usize,
    /// When the process started.
    pub started: SystemTime,
}

/// All metrics of this moment.
pub fn render(core: &Core, surroundings: &Surroundings) -> String {
    let mut text = Text::default();
    host(&mut text, core, surroundings);
    process(&mut text, surroundings.started);
    let snapshot = core.registry.snapshot();
    let services: Vec<(&str, &Service)> = snapshot
        .services
        .values()
        .map(|service| (service.name.as_ref(), &**service))
        .collect();
    states(&mut text, &core.board.reports());
    gauges(&mut text, &services);
    rollouts(&mut text, &services);
    websockets(&mut text, &services);
    traffic(
        &mut text,
        &services
            .iter()
            .map(|(name, service)| (*name, &service.standing.traffic))
            .collect::<Vec<_>>(),
    );
    text.finish()
}

fn host(text: &mut Text, core: &Core, surroundings: &Surroundings) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.family(
        "skep_build_info",
        Kind::Gauge,
        "The host's version; always 1.",
    )
    .sample(&version, 1);
    let ready = *core.first_scan.borrow() && !core.draining.is_cancelled();
    text.family("skep_ready", Kind::Gauge, "Whether /readyz answers 200.")
        .sample(&[], u8::from(ready));
    text.family(
        "skep_connections",
        Kind::Gauge,
        "Open connections of the gateway.",
    )
    .sample(&[], surroundings.connections);
    connections(text, core);
    text.family(
        "skep_log_lines_dropped_total",
        Kind::Counter,
        "Log lines dropped because standard error was too slow.",
    )
    .sample(&[], surroundings.log_lines_dropped);
    text.family(
        "skep_access_log_lines_dropped_total",
        Kind::Counter,
        "Lines of the access log dropped because its file was too slow or could not be written.",
    )
    .sample(
        &[],
        core.access_log.as_deref().map_or(0, AccessLog::dropped),
    );
    let (claims, common) = core.registry.pool_load();
    text.family(
        "skep_instance_pool_claims",
        Kind::Gauge,
        "Claims on the instance pool that there are in all.",
    )
    .sample(&[], claims);
    text.family(
        "skep_instance_pool_common_claims_in_use",
        Kind::Gauge,
        "Claims held of those that no service has to itself.",
    )
    .sample(&[], common);
    text.family(
        "skep_host_requests_total",
        Kind::Counter,
        "Requests that are over, with and without a service.",
    )
    .sample(&[], core.traffic.requests());
    let mut faults = text.family(
        "skep_host_faults_total",
        Kind::Counter,
        "Requests that failed, with and without a service, by cause.",
    );
    for (cause, count) in core.traffic.faults() {
        faults.sample(
            &[("cause", cause.as_str()), ("blame", cause.blame().as_str())],
            count,
        );
    }
}

fn connections(text: &mut Text, core: &Core) {
    let counted = &core.traffic.connections;
    let (accepted, limited) = counted.counts();
    text.family(
        "skep_connections_total",
        Kind::Counter,
        "Connections that the gateway has accepted.",
    )
    .sample(&[], accepted);
    let mut ended = text.family(
        "skep_connections_ended_total",
        Kind::Counter,
        "Connections of the gateway that are over, by why.",
    );
    for (why, count) in counted.ends() {
        ended.sample(&[("reason", why.as_str())], count);
    }
    text.family(
        "skep_connections_limited_total",
        Kind::Counter,
        "How often the gateway stopped accepting since [connections] max were open.",
    )
    .sample(&[], limited);
    let mut handshakes = text.family(
        "skep_tls_handshakes_total",
        Kind::Counter,
        "TLS handshakes of the gateway's listeners, by how they ended.",
    );
    for (outcome, count) in core.traffic.handshakes.counts() {
        handshakes.sample(&[("result", outcome.as_str())], count);
    }
}

fn process(text: &mut Text, started: SystemTime) {
    let process = Process::look();
    let started = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut gauge =
        |name, help, value: f64| text.family(name, Kind::Gauge, help).sample(&[], value);
    gauge(
        "process_resident_memory_bytes",
        "Resident memory of the host.",
        float(process.resident_bytes),
    );
    gauge(
        "process_virtual_memory_bytes",
        "Address space of the host; most of it reserved for instances.",
        float(process.virtual_bytes),
    );
    gauge(
        "process_open_fds",
        "Open file descriptors.",
        float(process.open_fds),
    );
    gauge(
        "process_max_fds",
        "Most file descriptors that may be open.",
        process.fds_max.map_or(f64::INFINITY, float),
    );
    gauge(
        "process_threads",
        "Threads of the host.",
        float(process.threads),
    );
    gauge(
        "process_start_time_seconds",
        "When the host started, in seconds since 1970.",
        started.as_secs_f64(),
    );
    text.family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "CPU time of the host, guests included.",
    )
    .sample(&[], process.cpu.as_secs_f64());
}

#[allow(
    clippy::cast_precision_loss,
    reason = "figures of a process are far below 2^53"
)]
fn float(figure: u64) -> f64 {
    figure as f64
}

fn states(text: &mut Text, reports: &BTreeMap<String, Report>) {
    let mut states = text.family(
        "skep_service_state",
        Kind::Gauge,
        "1 for the state that a service, or a drop-in that never became one, is in.",
    );
    for (name, report) in reports {
        for state in [State::Compiling, State::Ready, State::Failed] {
            states.sample(
                &[("service", name), ("state", state.as_str())],
                u8::from(report.state == state),
            );
        }
    }
    let mut errors = text.family(
        "skep_service_deploy_failed",
        Kind::Gauge,
        "1 if the newest candidate of a service was refused.",
    );
    for (name, report) in reports {
        errors.sample(&[("service", name)], u8::from(report.error.is_some()));
    }
}

type Read = fn(&Service) -> f64;

/// Name, help, and where the figure is.
const GAUGES: [(&str, &str, Read); 10] = [
    (
        "skep_revision",
        "The number of the running revision; 0 if there is none.",
        |service| {
            float(
                service
                    .revision
                    .as_ref()
                    .map_or(0, |revision| revision.number),
            )
        },
    ),
    (
        "skep_revision_leases",
        "Requests on the running revision.",
        |service| {
            float(
                service
                    .revision
                    .as_ref()
                    .map_or(0, |revision| revision.leases()) as u64,
            )
        },
    ),
    (
        "skep_requests_admitted",
        "Requests being worked on.",
        |service| f64::from(service.standing.gate.load().0),
    ),
    (
        "skep_queue_length",
        "Requests waiting for a slot.",
        |service| f64::from(service.standing.gate.load().1),
    ),
    (
        "skep_instance_claims_in_use",
        "Claims on the service's own share of the instance pool that are held.",
        |service| f64::from(service.standing.share.held()),
    ),
    (
        "skep_guest_memory_bytes",
        "Linear memory that the service's instances hold.",
        |service| float(service.standing.traffic.memory()),
    ),
    (
        "skep_concurrency_limit",
        "Requests that the service may work on at once; found out where [limits] adaptive is set.",
        |service| {
            let found = service.standing.gate.adaptive_limit();
            f64::from(found.unwrap_or(service.config.limits.concurrency))
        },
    ),
    (
        "skep_websocket_connections",
        "Open WebSockets, those whose handshake is under way among them.",
        |service| float(service.standing.sockets.open()),
    ),
    (
        "skep_stepped_down",
        "1 while each request has a fresh instance since one that is used again has failed.",
        |service| {
            let revision = service.revision.as_ref();
            let is_down = revision.is_some_and(|revision| revision.instances.is_stepped_down());
            f64::from(u8::from(is_down))
        },
    ),
    (
        "skep_breaker_open",
        "1 while the service's breaker refuses requests, 0.5 while it lets a few through.",
        |service| match service.standing.guards.breaker_state() {
            Some(breaker::State::Open) => 1.0,
            Some(breaker::State::HalfOpen) => 0.5,
            Some(breaker::State::Closed) | None => 0.0,
        },
    ),
];

fn gauges(text: &mut Text, services: &[(&str, &Service)]) {
    for (name, help, read) in GAUGES {
        let mut family = text.family(name, Kind::Gauge, help);
        for (service, figures) in services {
            family.sample(&[("service", service)], read(figures));
        }
    }
}

/// Only of services that have one under way.
fn rollouts(text: &mut Text, services: &[(&str, &Service)]) {
    let under_way = services.iter().filter_map(|(name, service)| {
        let trial = service.trial.as_ref()?;
        Some((*name, trial.settings.course.progress()))
    });
    let under_way: Vec<_> = under_way.collect();
    let mut weights = text.family(
        "skep_rollout_weight",
        Kind::Gauge,
        "Percent of the requests that a service's candidate gets.",
    );
    for (service, progress) in &under_way {
        weights.sample(&[("service", service)], progress.weight);
    }
    let mut checks = text.family(
        "skep_rollout_failed_checks",
        Kind::Gauge,
        "Checks that a service's candidate has failed since its rollout began.",
    );
    for (service, progress) in &under_way {
        checks.sample(&[("service", service)], progress.failed_checks);
    }
}

fn websockets(text: &mut Text, services: &[(&str, &Service)]) {
    let mut messages = text.family(
        "skep_websocket_messages_total",
        Kind::Counter,
        "Messages on WebSockets, by direction.",
    );
    for (service, figures) in services {
        for (direction, count) in figures.standing.sockets.messages() {
            messages.sample(&[("service", service), ("direction", direction)], count);
        }
    }
}

fn traffic(text: &mut Text, services: &[(&str, &Traffic)]) {
    let mut durations = text.family(
        "http_server_request_duration_seconds",
        Kind::Histogram,
        "From a request's head to its answer's last byte.",
    );
    for (service, traffic) in services {
        let labels = [("service", *service)];
        durations.histogram(
            &labels,
            &DURATION_BOUNDS,
            &traffic.durations(),
            traffic.duration_sum().as_secs_f64(),
        );
    }
    each(
        text.family(
            "http_server_active_requests",
            Kind::Gauge,
            "Requests that are not over, waiting ones included.",
        ),
        services,
        |traffic| float(traffic.active()),
    );
    let mut requests = text.family(
        "skep_requests_total",
        Kind::Counter,
        "Requests that are over, by the status of the answer.",
    );
    for (service, traffic) in services {
        for (status, count) in traffic.statuses() {
            requests.sample(
                &[("service", service), ("status", &status.to_string())],
                count,
            );
        }
    }
    let mut faults = text.family(
        "skep_faults_total",
        Kind::Counter,
        "Requests that failed, by cause and who is to blame.",
    );
    for (service, traffic) in services {
        for (cause, count) in traffic.faults() {
            faults.sample(&fault_labels(service, cause), count);
        }
    }
    let late = text.family(
        "skep_late_faults_total",
        Kind::Counter,
        "Faults of guests after their answer was out; part of skep_faults_total.",
    );
    each(late, services, |traffic| float(traffic.late_faults()));
    let retries = text.family(
        "skep_retries_total",
        Kind::Counter,
        "Further tries of requests that had failed.",
    );
    each(retries, services, |traffic| float(traffic.retries()));
    let bytes = text.family(
        "skep_response_body_bytes_total",
        Kind::Counter,
        "Bytes of response bodies.",
    );
    each(bytes, services, |traffic| float(traffic.bytes()));
    let cpu = text.family(
        "skep_guest_cpu_seconds_total",
        Kind::Counter,
        "CPU time of the instances that have ended.",
    );
    each(cpu, services, |traffic| traffic.cpu().as_secs_f64());
}

fn fault_labels(service: &str, cause: Cause) -> [(&'static str, &str); 3] {
    [
        ("service", service),
        ("cause", cause.as_str()),
        ("blame", cause.blame().as_str()),
    ]
}

fn each(mut family: Family<'_>, services: &[(&str, &Traffic)], read: fn(&Traffic) -> f64) {
    for (service, traffic) in services {
        family.sample(&[("service", service)], read(traffic));
    }
}

#[cfg(test)]
mod tests;
