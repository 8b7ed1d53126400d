//! Each request is one event, with everything that tells it from others.

use http::Request;

use crate::support::client::full;
use crate::support::{Host, fault, guest};

#[tokio::test]
async fn a_request_is_logged_with_who_what_and_how_long() {
    let host = Host::with("a", guest("hello")).start().await;
    let request = Request::post("/a/b?secret=1").body(full("x")).unwrap();
    let answer = host.request(request).await;
    let line = host.logged(&answer).await;
    assert_eq!((line.target(), line.level()), ("skep::request", "INFO"));
    for (field, value) in [
        ("service", "a"),
        ("revision", "1"),
        ("method", "POST"),
        ("path", "/a/b"),
        ("status", "200"),
        ("cause", ""),
        ("blame", ""),
    ] {
        assert_eq!(line.field(field), value, "{field}: {}", line.text());
    }
    assert_eq!(line.field("bytes"), answer.bytes().len().to_string());
    assert!(line.field("duration_ms").parse::<f64>().unwrap() > 0.0);
    // A query may hold secrets.
    assert!(!line.text().contains("secret"), "{}", line.text());
    host.stop().await;
}

#[tokio::test]
async fn a_request_that_fails_is_logged_with_why_and_by_whom() {
    let host = Host::with("a", fault("trap")).start().await;
    for (path, level, cause, blame, service) in [
        ("/none", "INFO", "no_route", "caller", ""),
        ("/a", "WARN", "guest_trapped", "guest", "a"),
    ] {
        let answer = host.get(path).await;
        let line = host.logged(&answer).await;
        assert_eq!(line.level(), level);
        for (field, value) in [("cause", cause), ("blame", blame), ("service", service)] {
            assert_eq!(line.field(field), value, "{field}: {}", line.text());
        }
        assert!(!line.field("detail").is_empty());
    }
    host.stop().await;
}

#[tokio::test]
async fn with_request_logging_off_only_what_guests_and_the_host_did_wrong_is_logged() {
    let host = Host::with("a", guest("hello"))
        .and("b", fault("trap"))
        .settings("[log]\nrequests = false\n")
        .start()
        .await;
    assert_eq!(host.get("/a").await.status(), 200);
    assert_eq!(host.get("/none").await.status(), 404);
    let trapped = host.get("/b").await;
    assert_eq!(host.logged(&trapped).await.field("cause"), "guest_trapped");
    let requests = host.log.all(|line| line.target() == "skep::request");
    assert_eq!(requests.len(), 1, "{requests:#?}");
    host.stop().await;
}
