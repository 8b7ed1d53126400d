//! A service that is a server elsewhere: what passes, and in which form.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;

use crate::support::client::{empty, full, streamed};
use crate::support::upstream::{Upstream, before};
use crate::support::wait::within;
use crate::support::{Host, probe};

#[tokio::test]
async fn the_server_sees_the_request_as_a_guest_would_and_its_own_host() {
    let upstream = Upstream::saying("hello").await;
    let host = before(&format!("{}/base/", upstream.url()), "").await;
    let request = Request::get("/a/b%2Fc?x=1&y")
        .header("connection", "x-named")
        .header("x-named", "1")
        .header("keep-alive", "timeout=9")
        .header("proxy-authorization", "Basic x")
        .header("te", "trailers, gzip")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-skep-caller", "friend")
        .header("x-request-id", "mine")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("x-kept", "1");
    let answer = host.request(request.body(empty()).unwrap()).await;
    assert_eq!((answer.status(), answer.text()), (200, "hello"));
    assert_eq!(answer.header("x-request-id"), Some("mine"));
    let seen = upstream.last();
    assert_eq!(seen.uri, "/base/b%2Fc?x=1&y");
    let header = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("host"), Some(&*upstream.address.to_string()));
    assert_eq!(header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header("x-forwarded-proto"), Some("http"));
    assert_eq!(header("x-forwarded-host"), Some(&*host.gateway.to_string()));
    assert_eq!(header("x-forwarded-prefix"), Some("/a"));
    assert_eq!(header("x-request-id"), Some("mine"));
    assert_eq!(header("te"), Some("trailers"));
    assert_eq!(header("x-kept"), Some("1"));
    assert!(header("traceparent").unwrap().starts_with("00-0af76519"));
    for gone in [
        "x-named",
        "keep-alive",
        "proxy-authorization",
        "x-skep-caller",
        "connection",
    ] {
        assert_eq!(header(gone), None, "{gone}");
    }
    assert_eq!(host.logged(&answer).await.field("service"), "a");
    host.stop().await;
}

#[tokio::test]
async fn no_path_is_another_for_the_server_than_for_the_route() {
    let upstream = Upstream::saying("hello").await;
    let routes = "[[route]]\npath = \"/public/{*rest}\"\n\
                  [[route]]\npath = \"/items/{name}\"\nrewrite = \"/v2/{name}/x\"\n\
                  [[route]]\npath = \"/odd/{*rest}\"\nrewrite = \"/v2/.{rest}\"\n";
    let host = before(&upstream.url(), routes).await;
    for mut connection in host.both().await {
        for path in [
            "/public/../admin/x",
            "/public/%2e%2e/admin/x",
            "/public/.%2E/admin/x",
            "/public/..;/admin/x",
            "/public/..%2fadmin/x",
            "/public/a/..",
            "/items/..",
            "/items/%2e",
            "/odd/./admin",
            "/odd//admin",
        ] {
            let refused = connection.get(path).await;
            assert_eq!(refused.status(), 400, "{path}");
            let problem = refused.problem();
            assert_eq!(problem.r#type, "urn:skep:fault:malformed_request");
        }
    }
    assert_eq!(upstream.asked(), 0);
    assert_eq!(host.get("/public/%61%2fb").await.status(), 200);
    assert_eq!(upstream.last().uri, "/public/a%2Fb");
    host.stop().await;
}

#[tokio::test]
async fn a_call_leads_to_no_path_beside_the_servers_own() {
    let upstream = Upstream::saying("hello").await;
    let callee = format!("upstream = \"{}/base\"\n", upstream.url());
    let host = Host::with("a", probe("fetch"))
        .manifest("a", "[allow]\nservices = [\"callee\"]\n")
        .manifest("callee", &callee)
        .start()
        .await;
    let call = "/a?url=http://callee.internal";
    assert_eq!(host.get(&format!("{call}/../admin")).await.status(), 400);
    assert_eq!(upstream.asked(), 0);
    assert_eq!(host.get(&format!("{call}/x")).await.text(), "hello");
    assert_eq!(upstream.last().uri, "/base/x");
    host.stop().await;
}

#[tokio::test]
async fn the_server_sees_the_clients_host_if_the_manifest_says_so() {
    let upstream = Upstream::saying("hello").await;
    let host = before(&upstream.url(), "preserve_host = true\n").await;
    for mut connection in host.both().await {
        let request = Request::get("/a").body(empty()).unwrap();
        assert_eq!(connection.send(request).await.status(), 200);
        let seen = upstream.last();
        assert_eq!(seen.headers["host"], host.gateway.to_string());
        assert_eq!(seen.version, http::Version::HTTP_11);
    }
    host.stop().await;
}

#[tokio::test]
async fn bodies_stream_both_ways_and_trailers_pass() {
    let upstream = Upstream::start(|request| async move {
        let declared = ("trailer", "x-sum");
        let body = request.into_body();
        let body = body.map_err(|error| -> Infallible { panic!("{error}") });
        Response::builder()
            .header(declared.0, declared.1)
            .body(body.boxed_unsync())
            .unwrap()
    })
    .await;
    let host = before(&upstream.url(), "").await;
    for connection in host.both().await {
        let (mut upload, body) = streamed();
        let request = Request::post("/a")
            .header("trailer", "x-sum")
            .header("te", "trailers");
        let mut reply = connection.once(request.body(body).unwrap()).await;
        assert_eq!(reply.head.status, 200);
        for part in ["one", "two"] {
            upload.send(part).await;
            assert_eq!(reply.chunk().await.unwrap(), part);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "6".parse().unwrap());
        upload.frame(Frame::trailers(trailers)).await;
        drop(upload);
        let answer = reply.finish().await;
        assert_eq!(answer.trailers.as_ref().unwrap()["x-sum"], "6");
        assert_eq!(host.logged(&answer).await.field("cause"), "");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_redirect_is_the_clients_and_an_answer_without_a_body_has_none() {
    let upstream = Upstream::start(|request| async move {
        let answer = Response::builder();
        match request.uri().path() {
            "/moved" => answer
                .status(302)
                .header("location", "/elsewhere")
                .body(empty()),
            "/nothing" => answer.status(204).body(empty()),
            _ => answer
                .header("connection", "x-mine")
                .header("x-mine", "1")
                .body(full("12345")),
        }
        .unwrap()
    })
    .await;
    let host = before(&upstream.url(), "").await;
    let moved = host.get("/a/moved").await;
    assert_eq!(
        (moved.status(), moved.header("location")),
        (302, Some("/elsewhere"))
    );
    assert_eq!(host.get("/a/nothing").await.status(), 204);
    let request = Request::head("/a/x").body(empty()).unwrap();
    let head = host.request(request).await;
    assert_eq!(
        (head.status(), head.header("content-length")),
        (200, Some("5"))
    );
    assert_eq!(head.text(), "");
    assert_eq!(host.get("/a/x").await.header("x-mine"), None);
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_takes_its_connection_to_the_server_along() {
    let (sender, mut ended) = tokio::sync::mpsc::channel::<()>(1);
    let upstream = Upstream::start(move |_| {
        let sender = sender.clone();
        async move {
            let (mut upload, body) = streamed();
            drop(tokio::spawn(async move {
                while upload.send(Bytes::from_static(&[b'x'; 1 << 16])).await {}
                // The test may be over.
                sender.send(()).await.ok();
            }));
            Response::new(body)
        }
    })
    .await;
    let host = before(&upstream.url(), "").await;
    let request = Request::get("/a").body(empty()).unwrap();
    let mut reply = host.open(request).await;
    reply.chunk().await.unwrap();
    drop(reply);
    within("the server to be let go", ended.recv())
        .await
        .unwrap();
    host.works_on("a", 0).await;
    host.stop().await;
}
