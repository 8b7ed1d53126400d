//! Services call each other by name, without a socket.

use futures::future::join_all;
use http::{HeaderMap, HeaderValue, Request, Version};
use hyper::body::Frame;
use serde_json::Value;

use crate::support::client::{empty, streamed};
use crate::support::setup::Setup;
use crate::support::verb::skep;
use crate::support::{Answer, Host, fault, guest, probe};

const MAY_CALL: &str = "[allow]\nservices = [\"callee\"]\n";

/// Services `two` and `three`, one for each version of wasi:http, that pass on what they get to `callee`.
fn callers(callee: impl AsRef<std::path::Path>) -> Setup {
    Host::with("callee", callee)
        .and("two", probe("fetch"))
        .manifest("two", MAY_CALL)
        .and("three", probe("forward"))
        .manifest("three", MAY_CALL)
}

/// Has a caller of each kind ask the callee for `path`.
async fn ask(host: &Host, path: &str) -> [Answer; 2] {
    [
        host.get(&format!("/two?url=http://callee.internal{path}"))
            .await,
        host.get(&format!("/three?to=callee.internal{path}")).await,
    ]
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name}: ");
    text.lines().find_map(|line| line.strip_prefix(&*prefix))
}

#[tokio::test]
async fn a_call_says_who_calls_and_belongs_to_the_request_that_it_comes_of() {
    let host = callers(probe("headers")).start().await;
    for (answer, caller) in ask(&host, "/some/path").await.iter().zip(["two", "three"]) {
        assert_eq!(answer.status(), 200, "{answer:?}");
        let text = answer.text();
        let first = text.lines().next().unwrap();
        assert!(first.ends_with(" callee.internal /some/path"), "{first}");
        assert_eq!(header(text, "x-skep-caller"), Some(caller));
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(header(text, "x-request-id"), Some(id));
        let trace = header(text, "traceparent").unwrap();
        assert_eq!((trace.len(), &trace[..3]), (55, "00-"), "{trace}");
        let line = host
            .log
            .find(|line| line.field("service") == "callee" && line.field("id") == id)
            .await
            .unwrap();
        assert_eq!(line.field("caller"), caller, "{}", line.text());
        assert_eq!(line.field("path"), "/some/path");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_trace_goes_on_and_nobody_outside_passes_for_a_service() {
    let host = callers(probe("headers")).start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let traced = |path: &str| {
        Request::get(path)
            .header("traceparent", trace)
            .header("x-skep-caller", "forged")
            .body(empty())
            .unwrap()
    };
    let called = host
        .request(traced("/two?url=http://callee.internal/"))
        .await;
    assert_eq!(header(called.text(), "traceparent"), Some(trace));
    assert_eq!(header(called.text(), "x-skep-caller"), Some("two"));
    let direct = host.request(traced("/callee")).await;
    assert_eq!(header(direct.text(), "traceparent"), Some(trace));
    assert_eq!(header(direct.text(), "x-skep-caller"), None);
    host.stop().await;
}

#[tokio::test]
async fn in_a_shared_instance_each_call_belongs_to_its_own_request() {
    let host = callers(probe("headers")).start().await;
    let connection = host.connect_h2().await;
    let calls = (0..64).map(|number| {
        let id = format!("request-{number}");
        let request = Request::get("/three?to=callee.internal/")
            .header("x-request-id", &id)
            .body(empty())
            .unwrap();
        let mut stream = connection.beside();
        async move { (id, stream.send(request).await) }
    });
    let calls: Vec<_> = calls.collect();
    for (id, answer) in join_all(calls).await {
        assert_eq!(header(answer.text(), "x-request-id"), Some(&*id));
    }
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_is_not_listed_is_not_called_and_the_log_says_what_to_add() {
    let host = Host::with("callee", guest("hello"))
        .and("two", probe("fetch"))
        .and("three", probe("forward"))
        .start()
        .await;
    for (answer, caller) in ask(&host, "/").await.iter().zip(["two", "three"]) {
        assert_eq!(answer.status(), 502, "{answer:?}");
        assert!(answer.text().contains("HttpRequestDenied"), "{answer:?}");
        let line = host
            .log
            .find(|line| line.target() == "skep::egress" && line.field("service") == caller)
            .await
            .unwrap();
        let message = line.message();
        assert!(
            message.contains("add \"callee\" to services under [allow]"),
            "{message}"
        );
    }
    let calls = host.log.all(|line| !line.field("caller").is_empty());
    assert!(calls.is_empty(), "{calls:#?}");
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_is_not_there_yet_is_when_it_has_been_deployed() {
    let host = Host::with("two", probe("fetch"))
        .manifest("two", MAY_CALL)
        .and("three", probe("forward"))
        .manifest("three", MAY_CALL)
        .start()
        .await;
    for answer in ask(&host, "/").await {
        assert_eq!(answer.status(), 503, "{answer:?}");
        assert!(
            answer.text().contains("urn:skep:fault:not_ready"),
            "{answer:?}"
        );
    }
    let listed = host.admin("/v1/services/two").await.json();
    assert_eq!(listed["state"], "degraded");
    assert_eq!(listed["missing"][0], "callee");
    host.deploy("callee", guest("hello"));
    host.promoted("callee", 1).await;
    assert_eq!(host.service("two").await.state, "ready");
    for answer in ask(&host, "/x").await {
        assert_eq!(answer.text(), "Hello from hello revision 1: GET /x\n");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_service_without_routes_is_reached_by_services_alone() {
    let host = callers(guest("hello"))
        .manifest("callee", "route = []\n")
        .start()
        .await;
    assert_eq!(host.get("/callee").await.status(), 404);
    for answer in ask(&host, "/").await {
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn bodies_and_trailers_stream_through_a_call() {
    let host = callers(guest("echo")).start().await;
    for mut connection in host.both().await {
        let (mut upload, body) = streamed();
        let request = Request::post("/three?to=callee.internal/")
            .header("te", "trailers")
            .body(body)
            .unwrap();
        let mut reply = connection.open(request).await.unwrap();
        for part in ["one", "two", "three"] {
            assert!(upload.send(part).await);
            assert_eq!(reply.chunk().await.unwrap(), part);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("42"));
        assert!(upload.frame(Frame::trailers(trailers)).await);
        drop(upload);
        let takes_any = reply.head.version == Version::HTTP_2;
        let answer = reply.finish().await;
        assert_eq!(answer.cut, None);
        // Over HTTP/1.1 there are only those that the head names, and this guest's names none.
        if takes_any {
            assert_eq!(answer.trailers.unwrap()["x-checksum"], "42");
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn a_request_calls_the_services_of_the_moment_it_arrived() {
    let host = Host::with("callee", probe("revision_a"))
        .and("two", probe("fetch_each"))
        .manifest("two", MAY_CALL)
        .start()
        .await;
    let (mut upload, body) = streamed();
    let mut connection = host.connect().await;
    let request = Request::post("/two").body(body).unwrap();
    let mut reply = connection.open(request).await.unwrap();
    assert!(upload.send("http://callee.internal/?lines=1\n").await);
    let before = reply.chunk().await.unwrap();
    host.deploy("callee", probe("revision_b"));
    host.promoted("callee", 2).await;
    assert!(upload.send("http://callee.internal/?lines=1\n").await);
    assert_eq!(reply.chunk().await.unwrap(), before);
    drop(upload);
    assert_eq!(reply.chunk().await, None);
    let after = host.get("/callee?lines=1").await;
    assert_ne!(after.text().as_bytes(), before);
    host.stop().await;
}

#[tokio::test]
async fn the_graph_says_who_may_call_whom_and_who_did() {
    let host = callers(fault("trap"))
        .and("idle", probe("fetch"))
        .manifest("idle", "[allow]\nservices = [\"callee\", \"tax\"]\n")
        .start()
        .await;
    for answer in ask(&host, "/").await {
        assert_eq!(answer.status(), 502, "{answer:?}");
        assert!(
            answer.text().contains("urn:skep:fault:guest_trapped"),
            "{answer:?}"
        );
    }
    let answer = host.admin("/v1/graph").await;
    let graph: Value = serde_json::from_str(answer.text()).unwrap();
    let edge = |at: usize| {
        let edge = &graph["edges"][at];
        let text = |key: &str| edge[key].as_str().unwrap().to_owned();
        let number = |key: &str| edge[key].as_u64().unwrap();
        (
            text("caller"),
            text("callee"),
            text("state"),
            number("calls"),
            number("errors"),
        )
    };
    let expected = |caller: &str, callee: &str, state: &str, calls, errors| {
        (
            caller.to_owned(),
            callee.to_owned(),
            state.to_owned(),
            calls,
            errors,
        )
    };
    assert_eq!(edge(0), expected("idle", "callee", "allowed", 0, 0));
    assert_eq!(edge(1), expected("idle", "tax", "missing", 0, 0));
    assert_eq!(edge(2), expected("three", "callee", "allowed", 1, 1));
    assert_eq!(edge(3), expected("two", "callee", "allowed", 1, 1));

    let said = skep([
        "ls",
        "--graph",
        "--admin",
        &format!("http://{}", host.admin),
    ])
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let mut lines = said.output.lines();
    assert!(lines.next().unwrap().starts_with("CALLER"), "{said:?}");
    assert!(lines.any(|line| line.starts_with("two")), "{said:?}");
    host.stop().await;
}
