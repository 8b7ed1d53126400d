//! A service that is a server elsewhere, or several, is a service as any other: before it stand the same rules.

use http::{Request, Response};

use crate::support::answer::assert_failed;
use crate::support::client::{empty, full};
use crate::support::tls::Authority;
use crate::support::upstream::{Upstream, before, nobody};
use crate::support::wait::until;
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn a_gate_stands_before_a_server_and_it_takes_nothing_of_the_pool() {
    let upstream = Upstream::start(|request| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        Response::new(full("quick"))
    })
    .await;
    let manifest = format!(
        "upstream = \"{}\"\n[limits]\nconcurrency = 1\nqueue = 1\ntimeout = \"60s\"\n",
        upstream.url()
    );
    let host = Host::with("b", guest("hello"))
        .manifest("a", &manifest)
        .manifest("c", &format!("upstream = \"{}\"\n", upstream.url()))
        .settings("[pool]\ninstances = 1\n")
        .start()
        .await;
    let slow = host.begin("/a/slow").await;
    host.works_on("a", 1).await;
    let queued = host.begin("/a/x").await;
    host.queues("a", 1).await;
    assert_failed(&host.get("/a/x").await, 503, "queue_full");
    for path in ["/b", "/c/x"] {
        assert_eq!(host.get(path).await.status(), 200, "{path}");
    }
    let detail = host.admin("/v1/services/a").await.json();
    assert_eq!(detail["kind"], "upstream");
    assert_eq!(detail["instances"]["claims_per_instance"], 0);
    drop(slow);
    assert_eq!(queued.finish().await.text(), "quick");
    host.works_on("a", 0).await;
    assert_eq!(host.get("/a/x").await.text(), "quick");
    host.stop().await;
}

#[tokio::test]
async fn a_breaker_opens_before_a_server_that_fails_and_closes_when_it_is_back() {
    let address = nobody().await;
    let breaker =
        "[breaker]\nwindow_calls = 4\nminimum_calls = 2\nopen = \"200ms\"\nhalf_open_calls = 1\n";
    let host = before(&format!("http://{address}"), breaker).await;
    for _ in 0..2 {
        assert_failed(&host.get("/a").await, 502, "upstream_unreachable");
    }
    assert_failed(&host.get("/a").await, 503, "breaker_open");
    let _back = Upstream::on(address, |_| async { Response::new(full("back")) }).await;
    until("the breaker to close", async || {
        (host.get("/a").await.status() == 200).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn health_checks_ask_the_server() {
    let address = nobody().await;
    let health = "[health]\npath = \"/well\"\ninterval = \"20ms\"\nunhealthy_threshold = 1\nhealthy_threshold = 1\n";
    let host = before(&format!("http://{address}"), health).await;
    until("the service to be unhealthy", async || {
        (host.service("a").await.state == "unhealthy").then_some(())
    })
    .await;
    assert_failed(&host.get("/a").await, 503, "unhealthy");
    let back = Upstream::on(address, |_| async { Response::new(full("back")) }).await;
    until("the service to be well", async || {
        (host.get("/a").await.status() == 200).then_some(())
    })
    .await;
    let checked = until("a check to be seen", async || {
        let seen = back.last();
        (seen.uri == "/well").then_some(seen)
    })
    .await;
    assert_eq!(checked.headers["user-agent"], "skep-health");
    host.stop().await;
}

#[tokio::test]
async fn a_service_calls_a_server_by_its_name_and_another_answers_in_its_place() {
    let upstream = Upstream::saying("from elsewhere").await;
    let calls = "[allow]\nservices = [\"a\"]\n";
    let host = Host::with("c", probe("fetch"))
        .manifest("c", calls)
        .manifest("a", &format!("upstream = \"{}\"\n", upstream.url()))
        .manifest(
            "gone",
            &format!(
                "upstream = \"http://{}\"\n[fallback]\nservice = \"a\"\n",
                nobody().await
            ),
        )
        .start()
        .await;
    let answer = host.get("/c?url=http://a.internal/x").await;
    assert_eq!(answer.text(), "from elsewhere");
    let seen = upstream.last();
    assert_eq!(seen.headers["x-skep-caller"], "c");
    assert_eq!(seen.headers["host"], upstream.address.to_string());
    let covered = host.get("/gone").await;
    assert_eq!(covered.text(), "from elsewhere");
    assert_eq!(covered.header("x-skep-fallback"), Some("a"));
    host.stop().await;
}

/// A manifest of these servers.
fn servers(urls: &[String], more: &str) -> String {
    format!("upstream = {urls:?}\n{more}")
}

#[tokio::test]
async fn each_of_several_servers_gets_its_part() {
    let (one, two) = (Upstream::saying("one").await, Upstream::saying("two").await);
    let host = Host::empty()
        .manifest("a", &servers(&[one.url(), two.url()], ""))
        .start()
        .await;
    let mut connection = host.connect().await;
    for _ in 0..64 {
        assert_eq!(connection.get("/a").await.status(), 200);
    }
    let asked = [one.asked(), two.asked()];
    assert!(asked.iter().all(|asked| *asked > 8), "{asked:?}");
    host.stop().await;
}

#[tokio::test]
async fn the_server_with_less_to_do_gets_the_next_request() {
    let held = Upstream::start(|_| std::future::pending()).await;
    let free = Upstream::saying("free").await;
    let host = Host::empty()
        .manifest(
            "a",
            &servers(&[held.url(), free.url()], "[limits]\ntimeout = \"60s\"\n"),
        )
        .start()
        .await;
    let mut waiting = Vec::new();
    while held.asked() == 0 {
        let one = host.begin("/a").await;
        until("a request to be answered or held up", async || {
            (one.is_over() || held.asked() > 0).then_some(())
        })
        .await;
        waiting.push(one);
    }
    let mut connection = host.connect().await;
    for _ in 0..16 {
        assert_eq!(connection.get("/a").await.text(), "free");
    }
    assert_eq!(held.asked(), 1);
    host.kill().await;
}

#[tokio::test]
async fn a_request_that_finds_nobody_is_tried_at_another_server_whatever_its_method() {
    let alive = Upstream::saying("alive").await;
    let dead = format!("http://{}", nobody().await);
    let retry = "[retry]\nretry_unobserved = true\nbackoff = \"1ms\"\nbackoff_max = \"1ms\"\nbudget_min = 100\n";
    let host = Host::empty()
        .manifest("a", &servers(&[dead, alive.url()], retry))
        .start()
        .await;
    for _ in 0..16 {
        let request = Request::post("/a").body(empty()).unwrap();
        let answer = host.request(request).await;
        assert_eq!(answer.text(), "alive");
    }
    // It was asked until it was found out, and not again.
    let ejected = host
        .log
        .all(|line| line.message().starts_with("a server of an upstream fails"));
    assert_eq!(ejected.len(), 1, "{ejected:?}");
    assert_eq!(ejected[0].field("seconds"), "30");
    host.stop().await;
}

#[tokio::test]
async fn a_server_that_fails_five_times_in_a_row_is_left_out() {
    let sick =
        Upstream::start(|_| async { Response::builder().status(500).body(full("sick")).unwrap() })
            .await;
    let well = Upstream::saying("well").await;
    let host = Host::empty()
        .manifest("a", &servers(&[sick.url(), well.url()], ""))
        .start()
        .await;
    until("the sick server to be ejected", async || {
        drop(host.get("/a").await);
        let ejected = host
            .log
            .all(|line| line.message().starts_with("a server of an upstream fails"));
        (!ejected.is_empty()).then_some(())
    })
    .await;
    assert_eq!(sick.asked(), 5);
    for _ in 0..16 {
        assert_eq!(host.get("/a").await.text(), "well");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_server_behind_tls_is_asked_if_its_certificate_is_good() {
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let upstream = Upstream::secure(&pair, |_| async { Response::new(full("over TLS")) }).await;
    let url = format!("https://localhost:{}", upstream.address.port());
    let setup = Host::empty()
        .manifest(
            "a",
            &format!("upstream = {url:?}\nupstream_ca = \"ca.pem\"\n"),
        )
        .manifest("public", &format!("upstream = {url:?}\n"))
        .manifest(
            "other",
            &format!(
                "upstream = \"https://{}\"\nupstream_ca = \"ca.pem\"\n",
                upstream.address
            ),
        );
    setup.put("ca.pem", authority.pem());
    let host = setup.start().await;
    assert_eq!(host.get("/a").await.text(), "over TLS");
    for untrusted in ["/public", "/other"] {
        assert_failed(&host.get(untrusted).await, 502, "upstream_unreachable");
    }
    assert_eq!(upstream.asked(), 1);
    host.stop().await;
}
