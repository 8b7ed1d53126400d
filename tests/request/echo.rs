//! A body goes to the guest and back as it comes, and so do trailers, over both versions of HTTP.

use http::{HeaderMap, HeaderValue, Request};
use hyper::body::Frame;

use crate::support::client::{get, streamed};
use crate::support::{Host, guest, probe};

#[tokio::test]
async fn a_body_is_echoed_while_it_is_sent() {
    let host = Host::with("echo", guest("echo")).start().await;
    for mut connection in host.both().await {
        let (mut upload, body) = streamed();
        let request = Request::post("/echo").body(body).unwrap();
        let mut reply = connection.open(request).await.unwrap();
        for part in ["one", "two", "three"] {
            assert!(upload.send(part).await);
            assert_eq!(reply.chunk().await.unwrap(), part);
        }
        drop(upload);
        assert_eq!(reply.chunk().await, None);
    }
    host.stop().await;
}

#[tokio::test]
async fn trailers_are_echoed() {
    let host = Host::with("echo", guest("echo")).start().await;
    for mut connection in host.both().await {
        let (mut upload, body) = streamed();
        let request = Request::post("/echo")
            .header("te", "trailers")
            .header("trailer", "x-checksum")
            .body(body)
            .unwrap();
        let reply = connection.open(request).await.unwrap();
        assert!(upload.send("a body").await);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("42"));
        assert!(upload.frame(Frame::trailers(trailers)).await);
        drop(upload);
        let answer = reply.finish().await;
        assert_eq!(answer.text(), "a body");
        assert_eq!(answer.header("trailer"), Some("x-checksum"));
        assert_eq!(answer.trailers.unwrap()["x-checksum"], "42");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_guests_own_trailers_are_sent_to_who_takes_them() {
    let host = Host::with("a", probe("trailers")).start().await;
    for mut connection in host.both().await {
        let mut request = get("/a");
        let te = HeaderValue::from_static("trailers");
        request.headers_mut().insert("te", te);
        let answer = connection.send(request).await;
        assert_eq!(answer.text(), "see below\n");
        assert_eq!(answer.trailers.unwrap()["x-checksum"], "42");
    }
    // A client of HTTP/1.1 that does not say so gets none, and all else.
    let answer = host.get("/a").await;
    assert_eq!(answer.text(), "see below\n");
    assert_eq!(answer.trailers, None);
    host.stop().await;
}
