//! A component in the folder answers at `/NAME` and below, over both versions of HTTP.

use crate::support::{Host, guest};

#[tokio::test]
async fn a_component_answers_under_its_name() {
    let host = Host::with("a", guest("hello"))
        .and("b", guest("hello-p3"))
        .start()
        .await;
    for (service, kind) in [("a", "hello"), ("b", "hello-p3")] {
        let answer = host.get(&format!("/{service}/some/path?and=query")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        let expected = format!("Hello from {kind} revision 1: GET /some/path?and=query\n");
        assert_eq!(answer.text(), expected);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_connection_of_either_version_serves_many_requests() {
    let host = Host::with("a", guest("hello")).start().await;
    let (mut one, mut two) = (host.connect().await, host.connect_h2().await);
    for _ in 0..10 {
        assert_eq!(
            one.get("/a").await.text(),
            "Hello from hello revision 1: GET /\n"
        );
        assert_eq!(
            two.get("/a").await.text(),
            "Hello from hello revision 1: GET /\n"
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn what_has_no_route_is_not_found() {
    let host = Host::with("a", guest("hello")).start().await;
    for path in ["/", "/aa", "/b"] {
        let answer = host.get(path).await;
        assert_eq!(answer.status(), 404, "{path}: {answer:?}");
        assert_eq!(answer.problem().service, None);
        assert_eq!(host.logged(&answer).await.field("cause"), "no_route");
    }
}
