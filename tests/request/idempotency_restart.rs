//! What is known of keys survives the host, and its end in the middle of a request.

use http::Request;

use crate::support::client::full;
use crate::support::{Answer, Host, probe};

async fn send(host: &Host, path: &str, key: &str) -> Answer {
    let request = Request::post(path).header("idempotency-key", key);
    host.request(request.body(full("")).unwrap()).await
}

#[tokio::test]
async fn answers_survive_a_restart_and_a_new_revision_and_what_was_under_way_does_not_run_again() {
    let host = Host::with("a", probe("as_told"))
        .manifest("a", "[edge.idempotency]\n")
        .start()
        .await;
    let first = send(&host, "/a?bytes=100", "done").await;
    host.put("a.toml", "[edge.idempotency]\n[env]\nNEW = \"1\"\n");
    host.promoted("a", 2).await;
    let swapped = send(&host, "/a?bytes=100", "done").await;
    assert_eq!(swapped.header("x-run"), first.header("x-run"));
    let mut wire = host.wire().await;
    wire.send(
        b"POST /a?ms=60000 HTTP/1.1\r\nhost: 127.0.0.1\r\nidempotency-key: cut\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    host.log_line("the service to be asked", |line| {
        line.message().starts_with("run ") && line.message().ends_with("ms=60000")
    })
    .await;
    let setup = host.kill().await;
    let host = setup.start().await;
    let again = send(&host, "/a?bytes=100", "done").await;
    assert_eq!(again.header("x-run"), first.header("x-run"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    for _ in 0..2 {
        let doubt = send(&host, "/a?ms=60000", "cut").await;
        assert_eq!(doubt.status(), 409);
        assert_eq!(
            doubt.problem().r#type,
            "urn:skep:fault:idempotency_in_doubt"
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_drains_waits_for_what_a_client_has_left() {
    let host = Host::with("a", probe("as_told"))
        .manifest("a", "[edge.idempotency]\n")
        .start()
        .await;
    let path = "/a?ms=2000";
    let mut wire = host.wire().await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nidempotency-key: left\r\ncontent-length: 0\r\n\r\n"
    );
    wire.send(request.as_bytes()).await;
    host.log_line("the service to be asked", |line| {
        line.message().starts_with("run ")
    })
    .await;
    drop(wire);
    let setup = host.stop().await;
    let host = setup.start().await;
    let again = send(&host, path, "left").await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    host.stop().await;
}
