//! An answer is framed as the guest says, and is well when it is whole: also where the connection asks for no more of
//! the body than was promised, or for none.

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
            // The second is answered by an instance that has rested.
            for _ in 0..2 {
                let answer = connection.get(&format!("/{service}")).await;
                let length = answer.text().len().to_string();
                assert_eq!(answer.header("content-length"), Some(length.as_str()));
                assert_eq!(answer.header("transfer-encoding"), None);
            }
        }
    }
    host.stop().await;
}
