//! A head that is none, or too much of one, is refused, and nothing after it on the connection is read.

use http::{HeaderValue, Request};

use crate::support::client::{empty, get};
use crate::support::{Host, guest, probe};

/// What would be answered if the host went on after a bad request.
const NEXT: &str = "GET /a/next HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_malformed_head_is_refused() {
    let host = Host::with("a", guest("hello")).start().await;
    for head in [
        "GET\r\n\r\n",
        "GET /a\r\n\r\n",
        "GET /a HTTP/1.1 x\r\nHost: here\r\n\r\n",
        "GET  /a HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET /a HTTP/3.7\r\nHost: here\r\n\r\n",
        "G\0T /a HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET /a\u{1} HTTP/1.1\r\nHost: here\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: here\r\nno colon\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: here\r\nspace : before the colon\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: here\r\nfolded: one\r\n two\r\n\r\n",
        "GET /a HTTP/1.1\r\n Host: here\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: here\r\nnul: \0\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: here\r\nbare: \rcr\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: here\r\n: no name\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
    ] {
        let answer = host.raw(format!("{head}{NEXT}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{head:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{head:?}: {answer}");
    }
    assert_eq!(host.get("/a").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn a_request_is_for_exactly_one_host() {
    let host = Host::with("a", guest("hello")).start().await;
    for hosts in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: http://a/\r\n",
        "Host: a, b\r\n",
        "Host: user@a\r\n",
        "Host: user:word@a:80\r\n",
        "Host: a:port\r\n",
        "Host: a:65536\r\n",
        "Host: a:+80\r\n",
        "Host: a:80:80\r\n",
        "Host: [::1]80\r\n",
    ] {
        let answer = host
            .raw(format!(
                "GET /a HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"
            ))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{hosts:?}: {answer}"
        );
        assert!(
            answer.contains("content-type: application/problem+json\r\n"),
            "{hosts:?}: {answer}"
        );
        assert!(
            answer.contains("\"type\":\"urn:skep:fault:malformed_request\""),
            "{hosts:?}: {answer}"
        );
        assert!(!answer.contains("Hello"), "{hosts:?}: {answer}");
    }
    host.stop().await;
}

#[tokio::test]
async fn what_two_servers_would_read_differently_is_refused() {
    let host = Host::with("a", guest("hello")).start().await;
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let answer = host
            .raw(format!(
                "POST /a HTTP/1.1\r\nHost: here\r\n{fields}\r\nhello{NEXT}"
            ))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{fields:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{fields:?}: {answer}");
    }
    let answer = host
        .raw(format!(
            "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}"
        ))
        .await;
    assert!(answer.contains(" 400 Bad Request\r\n"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
    host.stop().await;
}

#[tokio::test]
async fn of_a_length_and_chunks_only_chunks_count_and_nothing_follows() {
    let host = Host::with("a", probe("headers")).start().await;
    for fields in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    ] {
        let request = format!("POST /a HTTP/1.1\r\nHost: here\r\n{fields}\r\n0\r\n\r\n{NEXT}");
        let answers = host.raw(request).await;
        assert_eq!(
            answers.matches("HTTP/1.1 ").count(),
            1,
            "{fields:?}: {answers}"
        );
        // The service does not learn of the length either.
        assert!(
            !answers.contains("content-length: 6"),
            "{fields:?}: {answers}"
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn a_malformed_chunk_ends_the_connection() {
    let host = Host::with("a", probe("upload")).start().await;
    for chunks in [
        "x\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
    ] {
        let answers = host
            .raw(format!(
                "POST /a HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{NEXT}"
            ))
            .await;
        assert!(!answers.contains("200 OK"), "{chunks:?}: {answers}");
        assert!(
            answers.matches("HTTP/1.").count() <= 1,
            "{chunks:?}: {answers}"
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn a_body_that_nobody_read_is_not_taken_for_the_next_request() {
    let host = Host::with("a", guest("hello")).start().await;
    let inner = "GET /a/smuggled HTTP/1.1\r\nHost: here\r\n\r\n";
    for path in ["/a", "/none"] {
        let answers = host
            .raw(format!(
                "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n{inner}{NEXT}",
                inner.len()
            ))
            .await;
        assert!(!answers.contains("smuggled"), "{answers}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let host = Host::with("a", guest("hello"))
        .settings("[connections]\nheader_bytes = \"16KiB\"\nheaders_max = 20\n")
        .start()
        .await;
    let large = "x".repeat(20 << 10);
    let many = "x: y\r\n".repeat(21);
    for head in [
        format!("GET /a HTTP/1.1\r\nHost: here\r\nx: {large}\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nHost: here\r\n{many}\r\n"),
        format!("GET /a HTTP/1.1\r\nHost: here\r\n{large}"),
    ] {
        let answer = host.raw(head).await;
        assert!(
            answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
            "{answer}"
        );
    }
    let mut request = get("/a");
    request
        .headers_mut()
        .insert("x", HeaderValue::try_from(&large).unwrap());
    let answer = host.connect_h2().await.send(request).await;
    assert_eq!(answer.status(), 431, "{answer:?}");

    let (nearly_large, nearly_many) = ("x".repeat(14 << 10), (0..18).map(|n| format!("x-{n}")));
    let request = nearly_many.fold(Request::get("/a"), |request, name| {
        request.header(name, "y")
    });
    assert_eq!(
        host.request(request.body(empty()).unwrap()).await.status(),
        200
    );
    let request = Request::get("/a").header("x", nearly_large);
    assert_eq!(
        host.request(request.body(empty()).unwrap()).await.status(),
        200
    );
    host.stop().await;
}
