use std::time::Duration;

use http::StatusCode;

use super::*;

#[test]
fn a_services_traffic_reads_as_prometheus_text() {
    let traffic_of_hello = Traffic::default();
    for _ in 0..3 {
        traffic_of_hello.begin();
    }
    traffic_of_hello.end(StatusCode::OK, None, Duration::from_millis(4), 12);
    traffic_of_hello.end(
        StatusCode::BAD_GATEWAY,
        Some(Cause::GuestTrapped),
        Duration::from_millis(250),
        100,
    );
    let mut text = Text::default();
    traffic(
        &mut text,
        &[("hello", &traffic_of_hello), ("idle", &Traffic::default())],
    );
    let text = text.finish();
    let of_hello: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("service=\"hello\"") && !line.contains("_bucket"))
        .collect();
    assert_eq!(
        of_hello,
        [
            "http_server_request_duration_seconds_sum{service=\"hello\"} 0.254",
            "http_server_request_duration_seconds_count{service=\"hello\"} 2",
            "http_server_active_requests{service=\"hello\"} 1",
            "skep_requests_total{service=\"hello\",status=\"200\"} 1",
            "skep_requests_total{service=\"hello\",status=\"502\"} 1",
            "skep_faults_total{service=\"hello\",cause=\"guest_trapped\",blame=\"guest\"} 1",
            "skep_late_faults_total{service=\"hello\"} 0",
            "skep_retries_total{service=\"hello\"} 0",
            "skep_response_body_bytes_total{service=\"hello\"} 112",
            "skep_guest_cpu_seconds_total{service=\"hello\"} 0",
        ]
    );
    let buckets: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("_bucket{service=\"hello\""))
        .collect();
    assert_eq!(buckets.len(), DURATION_BOUNDS.len() + 1);
    assert_eq!(
        buckets[2],
        "http_server_request_duration_seconds_bucket{service=\"hello\",le=\"0.0025\"} 0"
    );
    assert_eq!(
        buckets[3],
        "http_server_request_duration_seconds_bucket{service=\"hello\",le=\"0.005\"} 1"
    );
    assert_eq!(
        buckets[9],
        "http_server_request_duration_seconds_bucket{service=\"hello\",le=\"0.25\"} 2"
    );
    assert_eq!(
        buckets[16],
        "http_server_request_duration_seconds_bucket{service=\"hello\",le=\"+Inf\"} 2"
    );
}

#[test]
fn every_family_is_announced_once_and_before_its_samples() {
    let mut text = Text::default();
    process(&mut text, SystemTime::now());
    states(&mut text, &BTreeMap::new());
    gauges(&mut text, &[]);
    traffic(&mut text, &[("a", &Traffic::default())]);
    let text = text.finish();
    let mut announced = Vec::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let name = family.split(' ').next().unwrap();
            assert!(!announced.contains(&name), "{name}");
            announced.push(name);
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(name.starts_with(announced.last().unwrap()), "{line}");
        }
    }
}
