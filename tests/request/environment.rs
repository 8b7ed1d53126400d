//! A guest sees the variables that its manifest names, and nothing else of the machine.

use http::Request;

use crate::support::client::empty;
use crate::support::program::program;
use crate::support::{Host, fault, guest, probe};

#[tokio::test]
async fn a_guest_has_the_variables_of_its_manifest_alone() {
    let manifest = "env_inherit = [\"SKEP_TEST_GIVEN\"]\n[env]\nLOG_LEVEL = \"debug\"\n";
    let host = Host::with("bare", probe("env"))
        .and("given", probe("env"))
        .manifest("given", manifest)
        .env("SKEP_TEST_GIVEN", "yes")
        .env("SKEP_TEST_SECRET", "no")
        .start()
        .await;
    assert_eq!(host.get("/bare").await.text(), "stdin 0\n");
    let given = host.get("/given").await;
    let mut lines: Vec<_> = given.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["env LOG_LEVEL=debug", "env SKEP_TEST_GIVEN=yes", "stdin 0"]
    );
    host.stop().await;
}

#[tokio::test]
async fn the_two_kinds_of_component_get_the_same_environment() {
    let mut setup = Host::empty();
    for kind in ["hello", "hello-p3"] {
        setup = setup
            .and(kind, guest(kind))
            .manifest(kind, "[env]\nREVISION = \"named\"\n");
    }
    let host = setup.env("REVISION", "of the host").start().await;
    for kind in ["hello", "hello-p3"] {
        let answer = host.get(&format!("/{kind}")).await;
        assert_eq!(
            answer.text(),
            format!("Hello from {kind} revision named: GET /\n")
        );
    }
    host.stop().await;
}

#[tokio::test]
async fn what_a_guest_prints_is_logged_with_its_name() {
    let setup = Host::with("a", fault("stdout_flood"))
        .manifest("a", "[limits]\ncpu = \"30s\"\ntimeout = \"30s\"\n");
    setup.put(
        "program.wasm",
        program("Status: 204 None\n\n", "printed by a program\n", 0),
    );
    let host = setup.start().await;
    assert_eq!(host.get("/a").await.status(), 200);
    for (stream, level) in [("stdout", "INFO"), ("stderr", "WARN")] {
        let line = host
            .log_line("what the guest printed", |line| {
                line.target() == "skep::guest" && line.field("stream") == stream
            })
            .await;
        assert_eq!(
            (line.field("service"), line.field("revision")),
            ("a".to_owned(), "1".to_owned())
        );
        assert_eq!(line.level(), level);
        assert!(line.message().starts_with('x'), "{}", line.text());
    }
    let request = Request::get("/program").body(empty()).unwrap();
    assert_eq!(host.request(request).await.status(), 204);
    let line = host
        .log_line("what the program printed", |line| {
            line.message() == "printed by a program"
        })
        .await;
    assert_eq!(
        (line.field("service"), line.field("stream")),
        ("program".to_owned(), "stderr".to_owned())
    );
    host.stop().await;
}
