//! One port, many manners: kept-alive, pipelined, old, absolute, and what is no request to a service.

use crate::support::{Host, guest};

const CLOSE: &str = "Host: here\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let host = Host::with("a", guest("hello")).start().await;
    let text = format!(
        "GET /a/1 HTTP/1.1\r\nHost: here\r\n\r\nPOST /a/2 HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\nabc\
         GET /a/3 HTTP/1.1\r\n{CLOSE}"
    );
    let answers = host.raw(text).await;
    let order: Vec<_> = answers
        .match_indices("revision 1: ")
        .map(|(at, found)| &answers[at + found.len()..][..6])
        .collect();
    assert_eq!(order, ["GET /1", "POST /", "GET /3"], "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    host.stop().await;
}

#[tokio::test]
async fn http_1_0_gets_an_answer_that_ends_with_the_connection() {
    let host = Host::with("a", guest("hello")).start().await;
    for head in [
        "GET /a HTTP/1.0\r\n\r\n",
        "GET /a HTTP/1.0\r\nHost: here\r\n\r\n",
    ] {
        let answer = host.raw(head).await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(
            !answer.to_ascii_lowercase().contains("transfer-encoding"),
            "{answer}"
        );
        assert!(
            answer.ends_with("\r\n\r\nHello from hello revision 1: GET /\n"),
            "{answer}"
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn a_chunked_body_is_put_together() {
    let host = Host::with("a", guest("echo")).start().await;
    let text = format!(
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{CLOSE}3\r\nxyz\r\n4;x=y\r\ntuvw\r\n0\r\n\r\n"
    );
    let answer = host.raw(text).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let data: String = body
        .split("\r\n")
        .filter(|line| usize::from_str_radix(line, 16).is_err())
        .collect();
    assert_eq!(data, "xyztuvw", "{answer}");
    host.stop().await;
}

#[tokio::test]
async fn the_host_of_an_absolute_target_counts() {
    let manifest = "[[route]]\nhost = \"shop.example\"\npath = \"/{*rest}\"\n";
    let host = Host::with("a", guest("hello"))
        .manifest("a", manifest)
        .start()
        .await;
    let shop = host
        .raw(format!("GET http://shop.example/x?y HTTP/1.1\r\n{CLOSE}"))
        .await;
    assert!(shop.contains("GET /x?y\n"), "{shop}");
    let other = host.raw("GET http://other.example/x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").await;
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    host.stop().await;
}

#[tokio::test]
async fn what_is_not_for_a_service_is_malformed() {
    let host = Host::empty().serving(guest("hello")).start().await;
    for line in ["OPTIONS *", "CONNECT here:80", "GET a"] {
        let answer = host.raw(format!("{line} HTTP/1.1\r\n{CLOSE}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{line}: {answer}"
        );
        assert!(
            answer.contains("\"type\":\"urn:skep:fault:malformed_request\""),
            "{line}: {answer}"
        );
    }
    host.stop().await;
}
