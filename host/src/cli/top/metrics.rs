//! What a host has counted, read from its metrics.

use std::collections::BTreeMap;

/// Statuses from here on are errors.
const ERRORS_FROM: u16 = 500;

/// What has been counted of one service since the host's start, and how it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) revision: u64,
    /// Requests that are over.
    pub(super) requests: f64,
    /// Those of them that were answered with 500 and more.
    pub(super) errors: f64,
    /// Of instances that have ended.
    pub(super) cpu_seconds: f64,
    /// That its instances hold.
    pub(super) memory_bytes: u64,
    pub(super) in_flight: u64,
    pub(super) queued: u64,
    /// Upper bounds in seconds, and how many requests took no longer; the last has no bound.
    pub(super) durations: Vec<(f64, f64)>,
}

/// The services of a text in Prometheus' format. What is not known is passed over.
pub(super) fn read(text: &str) -> BTreeMap<String, Counted> {
    let mut services: BTreeMap<String, Counted> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((family, labels, value)) = split(line) else {
            continue;
        };
        if let Some(name) = label(labels, "service") {
            let counted = services.entry(name.to_owned()).or_default();
            add(counted, family, labels, value);
        }
    }
    // A drop-in that never became a service has no requests to speak of, and no gauges either.
    services.retain(|_, counted| !counted.durations.is_empty());
    services
}

fn add(counted: &mut Counted, family: &str, labels: &str, value: f64) {
    match family {
        "skep_revision" => counted.revision = whole(value),
        "skep_requests_total" => {
            counted.requests += value;
            let status = label(labels, "status").and_then(|status| status.parse::<u16>().ok());
            if status.is_some_and(|status| status >= ERRORS_FROM) {
                counted.errors += value;
            }
        }
        "skep_guest_cpu_seconds_total" => counted.cpu_seconds = value,
        "skep_guest_memory_bytes" => counted.memory_bytes = whole(value),
        "skep_requests_admitted" => counted.in_flight = whole(value),
        "skep_queue_length" => counted.queued = whole(value),
        "http_server_request_duration_seconds_bucket" => {
            let bound = label(labels, "le").and_then(|bound| bound.parse::<f64>().ok());
            counted.durations.extend(bound.map(|bound| (bound, value)));
        }
        _ => {}
    }
}

/// `NAME{LABELS} VALUE`.
fn split(line: &str) -> Option<(&str, &str, f64)> {
    let (sample, value) = line.rsplit_once(' ')?;
    let (family, labels) = sample.split_once('{')?;
    Some((family, labels.strip_suffix('}')?, value.parse().ok()?))
}

/// A label's value. Names of services and the other values that are asked for have nothing to escape.
fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let mut labels = labels.split("\",");
    labels.find_map(|label| {
        let (found, value) = label.split_once("=\"")?;
        (found == name).then(|| value.strip_suffix('"').unwrap_or(value))
    })
}

fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_of_each_service_is_read() {
        let text = "\
# HELP skep_revision The number of the running revision; 0 if there is none.
# TYPE skep_revision gauge
skep_revision{service=\"a\"} 3
skep_requests_admitted{service=\"a\"} 2
skep_queue_length{service=\"a\"} 1
http_server_request_duration_seconds_bucket{service=\"a\",le=\"0.5\"} 4
http_server_request_duration_seconds_bucket{service=\"a\",le=\"+Inf\"} 5
http_server_request_duration_seconds_sum{service=\"a\"} 1.5
skep_requests_total{service=\"a\",status=\"200\"} 3
skep_requests_total{service=\"a\",status=\"502\"} 2
skep_guest_cpu_seconds_total{service=\"a\"} 0.25
skep_guest_memory_bytes{service=\"a\"} 65536
skep_service_state{service=\"bad.wasm\",state=\"failed\"} 1
process_open_fds 12
rubbish
";
        let counted = Counted {
            revision: 3,
            requests: 5.0,
            errors: 2.0,
            cpu_seconds: 0.25,
            memory_bytes: 65536,
            in_flight: 2,
            queued: 1,
            durations: vec![(0.5, 4.0), (f64::INFINITY, 5.0)],
        };
        assert_eq!(read(text), BTreeMap::from([("a".to_owned(), counted)]));
    }
}
