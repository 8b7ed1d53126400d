//! A program for wasip1 is served as CGI: variables, the body on standard input, an answer read strictly.

use http::Request;

use crate::support::client::{full, streamed};
use crate::support::program::program;
use crate::support::{Host, guest};

const HEAD: &str = "Status: 200 OK\nContent-Type: text/plain\n\n";

#[tokio::test]
async fn a_program_is_told_what_was_asked() {
    let host = Host::with("cgi", guest("cgi")).start().await;
    let request = Request::post("/cgi/a%20path/x?one=1&two=%32")
        .header("content-type", "text/x-test")
        .body(full("standard input"))
        .unwrap();
    let answer = host.request(request).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let expected = "REQUEST_METHOD=POST\nSCRIPT_NAME=/cgi\nPATH_INFO=/a path/x\n\
        QUERY_STRING=one=1&two=%32\nCONTENT_TYPE=text/x-test\nCONTENT_LENGTH=14\n\nstandard input";
    assert_eq!(answer.text(), expected);
    host.stop().await;
}

#[tokio::test]
async fn a_body_is_streamed_through_a_program() {
    let host = Host::with("cgi", guest("cgi")).start().await;
    for mut connection in host.both().await {
        let (mut upload, body) = streamed();
        let request = Request::put("/cgi").body(body).unwrap();
        let sends = async {
            for part in ["one ", "two"] {
                assert!(upload.send(part).await);
            }
            drop(upload);
        };
        let (answer, ()) = futures::join!(connection.send(request), sends);
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert!(answer.text().starts_with("REQUEST_METHOD=PUT\n"));
        // The length is not known ahead, so there is none to tell.
        assert!(answer.text().ends_with("\nCONTENT_LENGTH=\n\none two"));
    }
    host.stop().await;
}

#[tokio::test]
async fn head_has_no_body() {
    let host = Host::with("cgi", guest("cgi")).start().await;
    let request = Request::head("/cgi").body(full("")).unwrap();
    let answer = host.request(request).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(answer.header("content-type").is_some());
    assert!(answer.bytes().is_empty());
    host.stop().await;
}

#[tokio::test]
async fn what_is_no_answer_is_not_sent_as_one() {
    for (case, cause, output, exit) in [
        ("nothing", "no_response", String::new(), 0),
        ("a cut head", "no_response", "Status: 200".to_owned(), 0),
        ("no head", "invalid_response", "hello\n\n".to_owned(), 0),
        (
            "a whole response",
            "invalid_response",
            format!("HTTP/1.1 {HEAD}"),
            0,
        ),
        (
            "a header of the connection",
            "invalid_response",
            format!("Connection: close\n{HEAD}"),
            0,
        ),
        (
            "two lengths",
            "invalid_response",
            format!("Content-Length: 1\nContent-Length: 2\n{HEAD}"),
            0,
        ),
        ("failure before the head", "no_response", String::new(), 3),
    ] {
        let setup = Host::empty();
        setup.put("a.wasm", program(&output, "", exit));
        let host = setup.start().await;
        let answer = host.get("/a").await;
        assert_eq!(answer.status(), 502, "{case}: {answer:?}");
        let problem = answer.problem();
        assert_eq!(problem.r#type, format!("urn:skep:fault:{cause}"), "{case}");
        assert_eq!(problem.service.as_deref(), Some("a"));
        assert_eq!(host.logged(&answer).await.field("blame"), "guest");
        host.stop().await;
    }
}

#[tokio::test]
async fn a_program_that_fails_in_its_answer_does_not_look_as_if_it_were_done() {
    let setup = Host::empty();
    setup.put("fails.wasm", program(&format!("{HEAD}half of"), "", 1));
    setup.put("works.wasm", program(&format!("{HEAD}all of it"), "", 0));
    let host = setup.start().await;
    assert_eq!(host.get("/works").await.text(), "all of it");
    for mut connection in host.both().await {
        let answer = connection.send(crate::support::client::get("/fails")).await;
        let refused = answer.status() == 502;
        assert!(refused || answer.cut.is_some(), "{answer:?}");
        assert_eq!(host.logged(&answer).await.field("blame"), "guest");
    }
    host.stop().await;
}
