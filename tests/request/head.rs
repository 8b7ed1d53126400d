//! HEAD is answered with the head of what GET gets, and with no byte after it; the guest notices nothing.

use http::Request;

use crate::support::client::{Body, empty};
use crate::support::{Host, fault, guest, probe};

fn head(path: &str) -> Request<Body> {
    Request::head(path).body(empty()).unwrap()
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_and_the_connection_goes_on() {
    let host = Host::with("a", probe("framing")).start().await;
    for mut connection in host.both().await {
        // The second is more than is kept anywhere on its way: somebody has to take it.
        for (query, length) in [("bytes=5&promise=5", Some("5")), ("bytes=10000000", None)] {
            let answer = connection.send(head(&format!("/a?{query}"))).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            assert_eq!(answer.header("content-length"), length);
            assert_eq!(answer.text(), "");
            let line = host.logged(&answer).await;
            assert_eq!(line.field("cause"), "", "{}", line.text());
            assert_eq!(line.field("bytes"), "0", "{}", line.text());
            assert_eq!(connection.get("/a?bytes=3").await.text(), "xxx");
            host.works_on("a", 0).await;
        }
    }
    // None was put down for a body that nobody takes.
    let stopped = host.log.all(|line| line.message() == "instance stopped");
    assert!(stopped.is_empty(), "{stopped:#?}");
    host.stop().await;
}

#[tokio::test]
async fn on_the_wire_the_next_answer_follows_the_head() {
    let host = Host::with("a", guest("hello")).start().await;
    let requests = "HEAD /a HTTP/1.1\r\nHost: here\r\n\r\n\
         HEAD /none HTTP/1.1\r\nHost: here\r\n\r\n\
         GET /a/last HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    let answers = host.raw(requests).await;
    let parts: Vec<_> = answers.split("\r\n\r\n").collect();
    let expected = ["HTTP/1.1 200 ", "HTTP/1.1 404 ", "HTTP/1.1 200 "];
    assert!(parts.len() > expected.len(), "{answers}");
    for (part, expected) in parts.iter().zip(expected) {
        assert!(part.starts_with(expected), "{answers}");
    }
    assert!(answers.contains("GET /last\n"), "{answers}");
    host.stop().await;
}

#[tokio::test]
async fn a_guest_whose_answer_to_head_never_ends_is_stopped() {
    let host = Host::with("a", fault("endless_body"))
        .manifest("a", "[limits]\ncpu = \"100ms\"\n")
        .start()
        .await;
    let answer = host.request(head("/a")).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let late = host.late_faults("a", 1).await;
    assert_eq!(late[0].field("cause"), "cpu_deadline", "{}", late[0].text());
    host.works_on("a", 0).await;
    host.stop().await;
}
