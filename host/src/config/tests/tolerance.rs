//! What manifests say about faults: what it resolves to, and what is refused.

use skep_policy::breaker::Span;

use super::*;
use crate::config::service::tolerance::{FallbackAnswer, RateKey};
use crate::fault::Cause;

fn service(manifest: &str) -> Result<ServiceConfig, String> {
    let folder = Folder::new()
        .with("sorry.html", "<p>sorry</p>")
        .with("a.toml", format!("component = 'hello.wasm'\n{manifest}"));
    folder.service("a.toml")
}

#[test]
fn nothing_is_done_unless_it_is_said() {
    assert!(service("").unwrap().tolerance.is_plain());
}

#[test]
fn what_is_left_out_is_as_in_the_field() {
    let all =
        "[retry]\n[breaker]\n[rate_limit]\nrequests_per_second = 2.5\n[fallback]\nservice = 'b'\n";
    let tolerance = service(all).unwrap().tolerance;
    let retry = tolerance.retry.unwrap();
    assert_eq!(retry.settings, skep_policy::retry::Settings::default());
    assert!(retry.retry_unobserved && retry.statuses.is_empty());
    assert!(retry.methods.contains("PUT") && !retry.methods.contains("POST"));
    assert!(retry.on.contains(&Cause::GuestTrapped) && !retry.on.contains(&Cause::QueueFull));
    assert_eq!(
        tolerance.breaker.unwrap(),
        skep_policy::breaker::Settings::default()
    );
    let limit = tolerance.rate_limit.unwrap();
    assert_eq!(limit.settings.interval, Duration::from_millis(400));
    assert_eq!((limit.settings.burst, limit.key), (3, RateKey::Client));
    let fallback = tolerance.fallback.unwrap();
    assert!(fallback.on.contains(&Cause::QueueFull) && !fallback.on.contains(&Cause::NoRoute));
    assert!(matches!(fallback.answer, FallbackAnswer::Service(name) if name.as_str() == "b"));
}

#[test]
fn what_is_said_counts() {
    let tolerance = service(
        "[breaker]\nwindow_time = '10s'\n[rate_limit]\nrequests_per_second = 1\nkey = 'header:X-Key'\n\
         [fallback]\non = ['breaker_open']\nfile = 'sorry.html'\nstatus = 503\n",
    )
    .unwrap()
    .tolerance;
    assert_eq!(tolerance.breaker.unwrap().window, Span::Seconds(10));
    let key = RateKey::Header("x-key".to_owned());
    assert_eq!(tolerance.rate_limit.unwrap().key, key);
    let FallbackAnswer::Static(answer) = tolerance.fallback.unwrap().answer else {
        panic!("it is static");
    };
    assert_eq!((answer.status, &*answer.body), (503, &b"<p>sorry</p>"[..]));
    let short = service("[breaker]\nwindow_calls = 5\n").unwrap().tolerance;
    assert_eq!(short.breaker.unwrap().minimum_calls, 5);
}

/// Manifests and why they are refused.
fn refused(cases: &[(&str, &str)]) {
    for (manifest, message) in cases {
        assert_eq!(service(manifest).unwrap_err(), *message, "\n{manifest}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_way_out() {
    refused(&[
        (
            "[retry]\nattempts = 1",
            "a.toml:3: retry.attempts: must be between 2 and 10, not 1",
        ),
        (
            "[retry]\non = ['guest_traped']",
            "a.toml:3: retry.on[0]: \"guest_traped\" is no fault: did you mean \"guest_trapped\"?",
        ),
        (
            "[retry]\nstatuses = [200]",
            "a.toml:3: retry.statuses[0]: 200 is no status of a failure: use 400 to 599",
        ),
        (
            "[retry]\nmethods = ['A B']",
            "a.toml:3: retry.methods[0]: \"A B\" is no method",
        ),
        (
            "[breaker]\nfailure_rate = 101",
            "a.toml:3: breaker.failure_rate: is a percentage: must be between 1 and 100, not 101",
        ),
        (
            "[breaker]\nwindow_calls = 1\nwindow_time = '1s'",
            "a.toml:4: breaker.window_time: is given beside window_calls: leave out one of them",
        ),
        (
            "[breaker]\nwindow_time = '1500ms'",
            "a.toml:3: breaker.window_time: must be whole seconds, from 1s to 1h",
        ),
        (
            "[rate_limit]\nburst = 1",
            "a.toml:2: rate_limit: has no rate: add `requests_per_second = 100`",
        ),
        (
            "[rate_limit]\nrequests_per_second = 1\nkey = 'ip'",
            "a.toml:4: rate_limit.key: \"ip\" is no key: use \"client\", \"all\", \"identity\", \"claim:NAME\", or \"header:NAME\"",
        ),
    ]);
}

#[test]
fn so_are_answers_and_checks_that_make_none() {
    refused(&[
        (
            "[fallback]",
            "a.toml:2: fallback: answers nothing: add `service = \"NAME\"`, or `status`, `headers` and `body` or `file`",
        ),
        (
            "[fallback]\nservice = 'b'\nstatus = 200",
            "a.toml:3: fallback.service: is given beside status, headers, body or file: leave out one kind",
        ),
        (
            "[fallback]\nservice = 'a'",
            "a.toml:3: fallback.service: is the service itself: name another",
        ),
        (
            "[fallback]\nstatus = 204\nbody = 'x'",
            "a.toml:3: fallback.status: 204 has no body: leave out body and file",
        ),
        (
            "[health]\npath = 'up'",
            "a.toml:3: health.path: \"up\" is no path: it begins with a slash",
        ),
        (
            "[health]\ninterval = '1ms'",
            "a.toml:3: health.interval: must be at least 10ms",
        ),
        (
            "[fallback]\nstatus = 101",
            "a.toml:3: fallback.status: 101 is no answer's: use 200 to 599",
        ),
        (
            "[fallback]\nheaders = { connection = 'close' }",
            "a.toml:3: fallback.headers.connection: is the connection's to say: leave it out",
        ),
        (
            "[fallback]\nfile = '/etc/passwd'",
            "a.toml:3: fallback.file: \"/etc/passwd\" leaves the manifest's folder: put the file beside the manifest",
        ),
        (
            "[fallback]\nfile = '../secret'",
            "a.toml:3: fallback.file: \"../secret\" leaves the manifest's folder: put the file beside the manifest",
        ),
    ]);
}

#[test]
fn rules_for_calls_are_those_of_services_and_two_more() {
    let service = service(
        "[allow]\nservices = ['b', 'c']\n[callee.b]\nconcurrency = 3\ntimeout = '2s'\n\
         [callee.b.breaker]\n[callee.b.fallback]\nservice = 'd'\n",
    )
    .unwrap();
    let (callee, rules) = service.callees.first_key_value().unwrap();
    assert_eq!((callee.as_str(), service.callees.len()), ("b", 1));
    assert_eq!(rules.concurrency, Some(3));
    assert_eq!(rules.timeout, Some(Duration::from_secs(2)));
    assert!(rules.tolerance.breaker.is_some() && rules.tolerance.retry.is_none());
    let needed: Vec<_> = service
        .depends_on()
        .into_iter()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(needed, ["b", "c", "d"]);
    refused(&[
        (
            "[callee.b]\nconcurrency = 3",
            "a.toml:2: callee.b: \"b\" is not on the list of `services` under [allow]: add it there",
        ),
        (
            "[allow]\nservices = ['b']\n[callee.b]\nconcurrency = 0",
            "a.toml:5: callee.b.concurrency: must be between 1 and 1000000, not 0",
        ),
        (
            "[allow]\nservices = ['b']\n[callee.b.fallback]\nservice = 'a'",
            "a.toml:5: callee.b.fallback.service: is the service itself: name another",
        ),
        (
            "[allow]\nservices = ['b']\n[callee.b.fallback]\nservice = 'b'",
            "a.toml:5: callee.b.fallback.service: is the service that was called: name another",
        ),
    ]);
}
