//! A server elsewhere that is not there, is slow, breaks off or speaks no HTTP; and requests that it must not get.

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::support::Host;
use crate::support::answer::assert_failed;
use crate::support::client::{full, streamed};
use crate::support::upstream::{Upstream, before, nobody};
use crate::support::wait::within;

#[tokio::test]
async fn a_server_that_is_not_there_is_a_bad_gateway() {
    let host = before(&format!("http://{}", nobody().await), "").await;
    let answer = host.get("/a").await;
    assert_failed(&answer, 502, "upstream_unreachable");
    let line = host.logged(&answer).await;
    assert!(line.field("detail").contains("127.0.0.1"), "{line:?}");
    assert!(!answer.text().contains("127.0.0.1"));
    host.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_given_up() {
    let upstream = Upstream::start(|_| std::future::pending()).await;
    let host = before(&upstream.url(), "[limits]\ntimeout = \"100ms\"\n").await;
    assert_failed(&host.get("/a").await, 504, "wall_deadline");
    host.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_is_cut_and_never_looks_whole() {
    let upstream = Upstream::start(|_| async {
        let (mut upload, body) = streamed();
        drop(tokio::spawn(async move {
            upload.send("begun").await;
            std::future::pending::<()>().await;
        }));
        Response::new(body)
    })
    .await;
    let host = Host::empty()
        .manifest("a", &format!("upstream = \"{}\"\n", upstream.url()))
        .settings("[timeouts]\nbody_idle = \"200ms\"\n")
        .start()
        .await;
    let answer = host.get("/a").await;
    assert!(answer.cut.is_some(), "{answer:?}");
    assert_eq!(host.logged(&answer).await.field("cause"), "body_stalled");
    host.stop().await;
}

/// A server that takes a request and answers with these bytes, then closes.
async fn raw(answer: &'static str) -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0
            {
            }
            // Who hangs up is the test's business.
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (url, AbortOnDropHandle::new(server))
}

#[tokio::test]
async fn what_is_no_http_or_ends_early_is_the_servers_fault() {
    for answer in [
        "",
        "220 mail ready\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-long",
    ] {
        let (url, _server) = raw(answer).await;
        let host = before(&url, "").await;
        assert_failed(&host.get("/a").await, 502, "upstream_failed");
        host.stop().await;
    }
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nx",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nx",
    ] {
        let (url, _server) = raw(answer).await;
        let host = before(&url, "").await;
        let cut = host.get("/a").await;
        assert!(cut.cut.is_some(), "{answer:?}: {cut:?}");
        assert_eq!(host.logged(&cut).await.field("cause"), "upstream_failed");
        host.stop().await;
    }
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_do_not_reach_the_server() {
    let upstream = Upstream::saying("hello").await;
    let host = before(&upstream.url(), "").await;
    for (head, body) in [
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            "0\r\n\r\n",
        ),
        ("content-length: 3\r\ncontent-length: 4\r\n", "abcd"),
        ("transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "zz\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "ffffffffffffffffff\r\n"),
    ] {
        let request = format!("POST /a HTTP/1.1\r\nhost: a\r\n{head}\r\n{body}");
        let answer = host.raw(request).await;
        assert!(!answer.contains("200 OK"), "{head}: {answer}");
    }
    // Both lengths: the chunks count, and one request goes on.
    let asked = upstream.asked();
    let smuggled = "POST /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\
                    transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /a/two HTTP/1.1\r\nhost: a\r\n\r\n";
    host.raw(smuggled).await;
    assert!(upstream.asked() <= asked + 1);
    host.stop().await;
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_and_the_server_gets_no_more_of_it() {
    let upstream = Upstream::start(|request| async move {
        let whole = request.into_body().collect().await.is_ok();
        Response::new(full(if whole { "whole" } else { "cut" }))
    })
    .await;
    let host = before(&upstream.url(), "[limits]\nbody = \"8B\"\n").await;
    let request = Request::post("/a").body(full("123456789")).unwrap();
    assert_failed(&host.request(request).await, 413, "body_too_large");
    assert_eq!(upstream.asked(), 0);
    let (mut upload, body) = streamed();
    let connection = host.connect().await;
    let request = Request::post("/a").body(body).unwrap();
    let task = tokio::spawn(async move { connection.once(request).await.finish().await });
    upload.send("12345").await;
    upload.send("6789").await;
    let answer = within("an answer", task).await.unwrap();
    assert_failed(&answer, 413, "body_too_large");
    let request = Request::post("/a").body(full("12345678")).unwrap();
    assert_eq!(host.request(request).await.text(), "whole");
    host.stop().await;
}
