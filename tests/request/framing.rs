//! An answer is framed as the guest says, and is well when it is whole: also where the connection asks for no more of
//! the body than was promised, or for none.

use http::Request;

use crate::support::client::streamed;
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn an_answer_that_keeps_its_promise_is_no_fault() {
    let host = Host::with("a", probe("framing")).start().await;
    let (mut one, mut two) = (host.connect().await, host.connect_h2().await);
    for bytes in [0, 1, 1000, 3_000_000] {
        let path = format!("/a?bytes={bytes}&promise={bytes}");
        for answer in [one.get(&path).await, two.get(&path).await] {
            assert_eq!((answer.status(), answer.text().len()), (200, bytes));
            let length = bytes.to_string();
            assert_eq!(answer.header("content-length"), Some(&*length));
            let line = host.logged(&answer).await;
            assert_eq!(
                (line.field("cause"), line.field("bytes")),
                (String::new(), length)
            );
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn an_answer_whose_status_has_no_body_is_no_fault() {
    let host = Host::with("a", probe("framing")).start().await;
    let (mut one, mut two) = (host.connect().await, host.connect_h2().await);
    for path in [
        "/a?status=204",
        "/a?status=304",
        "/a?status=304&promise=5&bytes=5",
    ] {
        for answer in [one.get(path).await, two.get(path).await] {
            assert!(matches!(answer.status(), 204 | 304), "{answer:?}");
            assert_eq!(answer.text(), "");
            assert_eq!(host.logged(&answer).await.field("cause"), "");
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn a_short_answer_says_its_length_and_leaves_in_one_piece() {
    let host = Host::with("a", guest("hello"))
        .and("b", guest("hello-p3"))
        .start()
        .await;
    for service in ["a", "b"] {
        for mut connection in host.both().await {
            // A guest that happened to compute for long is not waited for.
            let mut tries = 0..100;
            loop {
                assert!(tries.next().is_some(), "{service} never says its length");
                let answer = connection.get(&format!("/{service}")).await;
                let length = answer.text().len().to_string();
                if let Some(said) = answer.header("content-length") {
                    assert_eq!(said, length);
                    assert_eq!(answer.header("transfer-encoding"), None);
                    break;
                }
            }
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn a_head_does_not_wait_for_a_guest_that_waits() {
    let host = Host::with("a", probe("spin_then_wait")).start().await;
    // From the second request on the guest starts where those go that compute for long.
    for ms in [0, 5, 5, 0, 0] {
        for mut connection in host.both().await {
            let (upload, body) = streamed();
            let request = Request::post(format!("/a?ms={ms}")).body(body).unwrap();
            let mut reply = connection.open(request).await.unwrap();
            assert_eq!(reply.chunk().await.unwrap(), "computed\n");
            drop(upload);
            assert_eq!(reply.chunk().await, None);
        }
    }
    host.stop().await;
}
