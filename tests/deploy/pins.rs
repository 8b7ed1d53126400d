//! Who may deploy can ask for a revision; nobody else can.

use http::Request;

use crate::support::answer::assert_failed;
use crate::support::client::{Body, get};
use crate::support::rollouts::answered_by;
use crate::support::{Host, probe};

const PATH: &str = "/a?lines=1";
const TOKEN: &str = "a-token-that-nobody-guesses";
/// The candidate gets none but requests that ask for it.
const BLUE_GREEN: &str = "[rollout]\nstrategy = \"blue-green\"\n";

fn pinned(path: &str, revision: &str, token: Option<&str>) -> Request<Body> {
    let mut request = get(path);
    let headers = request.headers_mut();
    headers.insert("x-skep-revision", revision.parse().unwrap());
    if let Some(token) = token {
        headers.insert("x-skep-token", token.parse().unwrap());
    }
    request
}

/// A host that has a token, on which `revision_b` is on trial beside `revision_a`; `front` calls it.
async fn on_trial() -> Host {
    let host = Host::with("a", probe("revision_a"))
        .manifest("a", BLUE_GREEN)
        .and("front", probe("fetch"))
        .manifest("front", "[allow]\nservices = [\"a\"]\n")
        .settings(&format!(
            "admin_token = \"{TOKEN}\"\n[log]\nrequests = true\n"
        ))
        .start()
        .await;
    host.deploy("a", probe("revision_b"));
    host.rollout_begun("a").await;
    host
}

#[tokio::test]
async fn a_request_gets_the_revision_that_it_asks_for() {
    let host = on_trial().await;
    for (revision, expected) in [("1", "a"), ("2", "b"), ("a=1", "a"), ("front=1, a=2", "b")] {
        let answer = host.request(pinned(PATH, revision, Some(TOKEN))).await;
        assert_eq!(answered_by(&answer), expected, "{revision}: {answer:?}");
    }
    assert_eq!(answered_by(&host.get(PATH).await), "a");

    // Also where another service calls it, which the number alone is not for.
    let call = "/front?url=http://a.internal/?lines=1";
    for (revision, expected) in [("a=2", "b"), ("1", "a"), ("front=1", "a")] {
        let answer = host.request(pinned(call, revision, Some(TOKEN))).await;
        assert_eq!(answer.text().trim(), expected, "{revision}: {answer:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn what_can_not_be_had_is_refused() {
    let host = on_trial().await;
    for token in [None, Some(""), Some("a-token-that-somebody-guesses")] {
        for revision in ["1", "2", "9", "nonsense"] {
            let answer = host.request(pinned(PATH, revision, token)).await;
            assert_failed(&answer, 403, "forbidden");
            let line = host.logged(&answer).await;
            assert!(line.field("detail").contains("x-skep-token"), "{line:?}");
        }
    }
    for revision in ["3", "a=3", "nobody=1", "a=2, front=2"] {
        let answer = host.request(pinned(PATH, revision, Some(TOKEN))).await;
        assert_failed(&answer, 404, "no_revision");
        let line = host.logged(&answer).await;
        assert!(
            line.field("detail")
                .contains("neither runs nor is on trial")
        );
    }
    for revision in ["", "a", "a=", "2, a=1", "-1"] {
        let answer = host.request(pinned(PATH, revision, Some(TOKEN))).await;
        assert_failed(&answer, 400, "malformed_request");
    }
    let told = host.log.all(|line| line.text().contains(TOKEN));
    assert!(told.is_empty(), "{told:?}");
    host.stop().await;
}

#[tokio::test]
async fn a_host_without_a_token_lets_nobody_ask() {
    let host = Host::with("a", probe("revision_a")).start().await;
    let answer = host.request(pinned(PATH, "1", Some(TOKEN))).await;
    assert_failed(&answer, 403, "forbidden");
    // A token alone asks for nothing.
    let mut request = get(PATH);
    let headers = request.headers_mut();
    headers.insert("x-skep-token", TOKEN.parse().unwrap());
    assert_eq!(host.request(request).await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn guests_do_not_see_what_is_said_to_the_host() {
    let host = Host::with("headers", probe("headers"))
        .and("front", probe("fetch"))
        .manifest("front", "[allow]\nservices = [\"headers\"]\n")
        .settings(&format!("admin_token = \"{TOKEN}\"\n"))
        .start()
        .await;
    for path in ["/headers", "/front?url=http://headers.internal/"] {
        let answer = host.request(pinned(path, "1", Some(TOKEN))).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let text = answer.text();
        assert!(text.contains("x-request-id"), "{text}");
        for header in ["x-skep-revision", "x-skep-token"] {
            assert!(!text.contains(header), "{text}");
        }
    }
    host.stop().await;
}
