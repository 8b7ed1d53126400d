//! A body up to the service's limit passes, a byte more is refused, however it comes.

use http::Request;

use crate::support::client::{empty, full, streamed};
use crate::support::{Host, guest, probe};

const LIMIT: &str = "[limits]\nbody = \"64KiB\"\n";
const LIMIT_BYTES: usize = 64 << 10;

#[tokio::test]
async fn the_limit_itself_passes_and_a_byte_more_does_not() {
    let host = Host::with("a", probe("upload"))
        .manifest("a", LIMIT)
        .start()
        .await;
    for announced in [true, false] {
        for mut connection in host.both().await {
            for (bytes, status) in [(LIMIT_BYTES, 200), (LIMIT_BYTES + 1, 413)] {
                let content = vec![b'x'; bytes];
                let request = Request::post("/a");
                let answer = if announced {
                    connection.send(request.body(full(content)).unwrap()).await
                } else {
                    let (mut upload, body) = streamed();
                    let sends = async move {
                        for part in content.chunks(16 << 10) {
                            upload.send(part.to_vec()).await;
                        }
                    };
                    futures::join!(connection.send(request.body(body).unwrap()), sends).0
                };
                assert_eq!(
                    answer.status(),
                    status,
                    "{bytes} bytes, announced: {announced}: {answer:?}"
                );
                if status == 200 {
                    assert!(
                        answer.text().starts_with(&format!("{bytes} ")),
                        "{answer:?}"
                    );
                    continue;
                }
                let problem = answer.problem();
                assert_eq!(problem.r#type, "urn:skep:fault:body_too_large");
                assert_eq!(problem.service.as_deref(), Some("a"));
                assert_eq!(host.logged(&answer).await.field("blame"), "caller");
            }
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn an_answer_that_has_begun_is_cut_at_the_limit() {
    let host = Host::with("a", guest("echo"))
        .manifest("a", LIMIT)
        .start()
        .await;
    for mut connection in host.both().await {
        let (mut upload, body) = streamed();
        let mut reply = connection
            .open(Request::post("/a").body(body).unwrap())
            .await
            .unwrap();
        assert!(upload.send("begins").await);
        assert_eq!(reply.chunk().await.unwrap(), "begins");
        upload.send(vec![b'x'; LIMIT_BYTES]).await;
        let answer = reply.finish().await;
        assert!(answer.cut.is_some(), "{answer:?}");
        assert_eq!(host.logged(&answer).await.field("cause"), "body_too_large");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_expects_100_continues_only_if_the_body_may_come() {
    let host = Host::with("a", probe("upload"))
        .manifest("a", LIMIT)
        .start()
        .await;
    let head = |length: usize| {
        format!(
            "POST /a HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )
    };

    let mut wire = host.wire().await;
    wire.send(head(5)).await;
    assert_eq!(wire.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    wire.send("hello").await;
    let answer = wire.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\n5 "),
        "{answer}"
    );

    let mut wire = host.wire().await;
    wire.send(head(LIMIT_BYTES + 1)).await;
    // Nothing of the body was sent, and all of the answer is here.
    let answer = wire.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("\"type\":\"urn:skep:fault:body_too_large\""),
        "{answer}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_refusal_arrives_although_the_client_is_still_sending() {
    let host = Host::with("a", probe("upload"))
        .manifest("a", LIMIT)
        .start()
        .await;
    let length = 8 << 20;
    let mut connection = host.connect_h2().await;
    let answer = connection
        .send(Request::post("/a").body(full(vec![b'x'; length])).unwrap())
        .await;
    assert_eq!(answer.status(), 413, "{answer:?}");
    // The connection serves on: the body that was refused is forgotten.
    let answer = connection
        .send(Request::post("/a").body(empty()).unwrap())
        .await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    host.stop().await;
}
