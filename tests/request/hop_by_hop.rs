//! What concerns one connection alone is not passed on.

use http::Request;

use crate::support::client::empty;
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn a_guest_sees_no_headers_of_the_connection() {
    let host = Host::with("a", probe("headers")).start().await;
    let request = Request::get("/a")
        .header("connection", "x-named, Keep-Alive")
        .header("connection", "x-named-too")
        .header("x-named", "1")
        .header("x-named-too", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("proxy-authorization", "Basic c2VjcmV0")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__")
        .header("te", "trailers, gzip")
        .header("x-kept", "1")
        .body(empty())
        .unwrap();
    let answer = host.request(request).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let names: Vec<_> = answer
        .text()
        .lines()
        .skip(1)
        .filter_map(|line| line.split(':').next())
        .collect();
    for gone in [
        "connection",
        "x-named",
        "x-named-too",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
        "transfer-encoding",
    ] {
        assert!(!names.contains(&gone), "{gone} among {names:?}");
    }
    assert!(names.contains(&"x-kept"), "{names:?}");
    assert!(!answer.text().contains("gzip"), "{answer:?}");
    host.stop().await;
}

#[tokio::test]
async fn an_answer_over_http2_says_nothing_of_connections() {
    let host = Host::with("a", guest("hello")).start().await;
    let answer = host.connect_h2().await.get("/a").await;
    for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_eq!(answer.header(name), None);
    }
    host.stop().await;
}
