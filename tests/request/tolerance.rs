//! What a manifest wants done about faults: refuse, give a rest, try again, answer otherwise.

use http::{Method, Request};

use crate::support::answer::assert_failed;
use crate::support::client::empty;
use crate::support::wait::until;
use crate::support::{Answer, Host, fault, guest, probe};

async fn ask(host: &Host, method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    host.request(request.body(empty()).unwrap()).await
}

#[tokio::test]
async fn requests_past_the_rate_are_refused_each_key_on_its_own() {
    let host = Host::with("a", guest("hello"))
        .manifest(
            "a",
            "[rate_limit]\nrequests_per_second = 0.01\nburst = 2\nkey = \"header:x-key\"\n",
        )
        .start()
        .await;
    let keyed = async |key: &str| {
        let request = Request::get("/a").header("x-key", key);
        host.request(request.body(empty()).unwrap()).await
    };
    for left in [1, 0] {
        let answer = keyed("one").await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"default\";q=2;w=200")
        );
        let rest = format!("\"default\";r={left};t=100");
        assert_eq!(answer.header("ratelimit"), Some(&*rest));
    }
    let refused = keyed("one").await;
    assert_failed(&refused, 429, "rate_limited");
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((90..=100).contains(&seconds), "{seconds}");
    assert_eq!(keyed("two").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn a_client_has_one_rate_whatever_it_says_of_itself() {
    let host = Host::with("a", guest("hello"))
        .manifest("a", "[rate_limit]\nrequests_per_second = 0.01\nburst = 1\n")
        .start()
        .await;
    assert_eq!(host.get("/a").await.status(), 200);
    let request = Request::get("/a")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-skep-caller", "friend");
    let answer = host.request(request.body(empty()).unwrap()).await;
    assert_eq!(answer.status(), 429, "{answer:?}");
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_keeps_failing_is_given_a_rest_and_comes_back() {
    let breaker =
        "[breaker]\nwindow_calls = 4\nminimum_calls = 2\nopen = \"200ms\"\nhalf_open_calls = 1\n";
    let host = Host::with("a", fault("trap"))
        .manifest("a", breaker)
        .start()
        .await;
    for _ in 0..2 {
        let answer = host.get("/a").await;
        assert_eq!(answer.status(), 502, "{answer:?}");
    }
    let refused = until("the breaker to be seen open", async || {
        let answer = host.get("/a").await;
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert_failed(&refused, 503, "breaker_open");
    assert_eq!(refused.header("retry-after"), Some("1"));
    host.deploy("a", guest("hello"));
    host.promoted("a", 2).await;
    until("the breaker to close", async || {
        (host.get("/a").await.status() == 200).then_some(())
    })
    .await;
    let listed = host.admin("/v1/services/a").await;
    assert_eq!(listed.json()["breaker"], "closed");
    host.stop().await;
}

#[tokio::test]
async fn another_answer_takes_the_place_of_one_that_fails() {
    let fixed =
        "[fallback]\nstatus = 203\nbody = \"come back later\"\nheaders = { x-kind = \"fixed\" }\n";
    let host = Host::with("fixed", fault("trap"))
        .manifest("fixed", fixed)
        .and("other", guest("hello"))
        .and("covered", fault("trap"))
        .manifest("covered", "[fallback]\nservice = \"other\"\n")
        .and("narrow", fault("trap"))
        .manifest(
            "narrow",
            "[fallback]\non = [\"queue_full\"]\nservice = \"other\"\n",
        )
        .start()
        .await;
    let answer = host.get("/fixed").await;
    assert_eq!((answer.status(), answer.text()), (203, "come back later"));
    assert_eq!(answer.header("x-kind"), Some("fixed"));
    assert_eq!(answer.header("x-skep-fallback"), Some("static"));
    let line = host.logged(&answer).await;
    assert_eq!(
        (&*line.field("cause"), &*line.field("revision")),
        ("guest_trapped", "1")
    );

    let answer = host.get("/covered/x").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.text(), "Hello from hello revision 1: GET /x\n");
    assert_eq!(answer.header("x-skep-fallback"), Some("other"));
    let traffic = host.admin("/v1/services/covered").await.json()["faults"].clone();
    assert_eq!(traffic, 1, "the fault is counted");

    let answer = host.get("/narrow").await;
    assert_failed(&answer, 502, "guest_trapped");
    assert_eq!(answer.header("x-skep-fallback"), None);
    host.stop().await;
}

#[tokio::test]
async fn a_request_is_tried_again_if_that_can_do_no_harm() {
    let reuse = "[instances]\nreuse = 10\nstep_down = \"0s\"\n";
    let host = Host::with("a", probe("trap_at"))
        .manifest("a", &format!("{reuse}[retry]\nbackoff = \"1ms\"\n"))
        .and("b", probe("trap_at"))
        .manifest(
            "b",
            &format!("{reuse}[retry]\nbackoff = \"1ms\"\nretry_unobserved = false\n"),
        )
        .start()
        .await;
    for (service, method, status) in [
        ("a", Method::GET, 200),
        ("a", Method::POST, 200),
        ("b", Method::GET, 200),
        ("b", Method::POST, 502),
    ] {
        let mut connection = host.connect().await;
        // The next request to the same instance traps. One that happened to compute for long gets no further request.
        until("an instance to trap", async || {
            let first = connection.get(&format!("/{service}")).await;
            let served: u32 = first.header("x-served").unwrap().parse().unwrap();
            let path = format!("/{service}?trap={}", served + 1);
            let request = Request::builder().method(method.clone()).uri(path);
            let answer = connection.send(request.body(empty()).unwrap()).await;
            let is_it = answer.status() == status;
            assert!(is_it || status == 502, "{service} {method} {answer:?}");
            is_it.then_some(())
        })
        .await;
    }
    host.stop().await;
}

#[tokio::test]
async fn what_a_guest_may_have_done_is_not_done_twice() {
    let host = Host::with("other", guest("hello"))
        .and("a", probe("fetch_then_trap"))
        .manifest(
            "a",
            "[allow]\nservices = [\"other\"]\n[retry]\nattempts = 3\nbackoff = \"1ms\"\n",
        )
        .start()
        .await;
    for (method, path, calls) in [
        (Method::POST, "/a?url=http://other.internal/", 1),
        (Method::GET, "/a?url=http://other.internal/", 4),
    ] {
        let answer = ask(&host, method, path).await;
        assert_failed(&answer, 502, "guest_trapped");
        let graph = host.admin("/v1/graph").await.json();
        assert_eq!(graph["edges"][0]["calls"], calls, "{graph}");
    }
    let retries = host.metric("skep_retries_total", &[("service", "a")]).await;
    assert_eq!(retries, Some(2.0));
    host.stop().await;
}

#[tokio::test]
async fn an_answer_of_a_further_try_is_cut_where_its_guest_fails() {
    let manifest =
        "[retry]\n[fallback]\nservice = \"other\"\n[limits]\ncpu = \"20s\"\ntimeout = \"50s\"\n";
    let host = Host::with("a", fault("partial_then_trap"))
        .manifest("a", manifest)
        .and("other", guest("hello"))
        .start()
        .await;
    for mut connection in host.both().await {
        let answer = connection.get("/a").await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(answer.cut.is_some(), "{answer:?}");
        assert_eq!(host.logged(&answer).await.field("cause"), "guest_trapped");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_caller_in_a_hurry_does_not_open_a_services_breaker() {
    let host = Host::with("slow", probe("sleep_ms"))
        .manifest(
            "slow",
            "[breaker]\nminimum_calls = 1\nfailure_rate = 1\n[limits]\ntimeout = \"50s\"\n",
        )
        .and("hasty", probe("fetch"))
        .manifest(
            "hasty",
            "[allow]\nservices = [\"slow\"]\n[limits]\ntimeout = \"200ms\"\n",
        )
        .start()
        .await;
    let answer = host.get("/hasty?url=http://slow.internal/?ms=40000").await;
    assert_eq!(answer.status(), 504, "{answer:?}");
    host.works_on("slow", 0).await;
    assert_eq!(host.get("/slow?ms=1").await.status(), 200);
    host.stop().await;
}
