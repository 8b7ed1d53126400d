//! `skep history`, `events`, `logs` and `top`: what a real host tells of itself; and no host at all.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::support::verb::{Said, command, skep};
use crate::support::wait::within;
use crate::support::{Host, fault, guest};

/// `skep VERB ARGUMENTS` for a host.
async fn ask(host: &Host, arguments: &[&str]) -> Said {
    let url = format!("http://{}", host.admin);
    skep(arguments.iter().chain(&["--admin", &url])).await
}

/// A verb that goes on, and what it prints.
fn begin(host: &Host, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let url = format!("http://{}", host.admin);
    let mut command = command(Path::new("/"), arguments.iter().chain(&["--admin", &url]));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    (child, BufReader::new(output).lines())
}

async fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, parts: &[&str]) -> String {
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
        panic!("the output ended without {parts:?}");
    };
    within(&format!("a line with {parts:?}"), found).await
}

async fn deploy(host: &Host, name: &str, component: &str) {
    let file = guest(component);
    let said = ask(host, &["deploy", name, file.to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test]
async fn the_history_says_who_did_what_and_which_revisions_are_there() {
    let host = Host::empty().start().await;
    deploy(&host, "a", "hello").await;
    deploy(&host, "a", "echo").await;
    let said = ask(&host, &["history", "a"]).await;
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
    let (events, revisions) = said.output.split_once("\n\n").unwrap();
    let events: Vec<_> = events.lines().collect();
    assert!(events[0].starts_with("WHEN"), "{said:?}");
    let newest = events
        .iter()
        .position(|line| line.contains(" promoted  "))
        .unwrap();
    for part in ["Z  anonymous", " 2  ", "echo.wasm"] {
        assert!(events[newest].contains(part), "no {part:?}: {said:?}");
    }
    assert!(events.last().unwrap().contains("hello.wasm"), "{said:?}");
    assert!(
        revisions.contains("running") && revisions.contains("kept"),
        "{said:?}"
    );
    let said = ask(&host, &["history", "a", "--limit", "1", "--json"]).await;
    assert_eq!(
        said.json()["events"].as_array().unwrap().len(),
        1,
        "{said:?}"
    );
    let said = ask(&host, &["history", "nobody"]).await;
    said.assert_refused(1, &["error: "]);
    host.stop().await;
}

#[tokio::test]
async fn events_are_shown_and_followed() {
    let host = Host::empty().start().await;
    deploy(&host, "a", "hello").await;
    deploy(&host, "b", "hello").await;
    let said = ask(&host, &["events", "a"]).await;
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
    assert!(
        said.output.lines().all(|line| line.contains("Z  a  ")),
        "{said:?}"
    );
    assert!(said.output.contains("  promoted"), "{said:?}");
    let (_child, mut lines) = begin(&host, &["events", "-f"]);
    line_with(&mut lines, &["  b  ", "promoted"]).await;
    deploy(&host, "a", "echo").await;
    line_with(
        &mut lines,
        &["  a  ", "promoted", "revision 2", "by anonymous"],
    )
    .await;
    host.stop().await;
}

#[tokio::test]
async fn what_guests_write_is_followed() {
    let host = Host::with("probe", fault("stdout_flood")).start().await;
    let (_child, mut lines) = begin(&host, &["logs", "probe"]);
    let line = loop {
        // Until the stream is open nothing of it is kept.
        host.get("/probe").await;
        let next = tokio::time::timeout(std::time::Duration::from_millis(100), lines.next_line());
        if let Ok(line) = next.await {
            break line.unwrap().unwrap();
        }
    };
    assert!(line.contains("Z  probe  "), "{line}");
    host.stop().await;
}

#[tokio::test]
async fn top_shows_what_happens_meanwhile() {
    let host = Host::with("a", guest("hello")).start().await;
    let said = ask(&host, &["top", "--once", "--interval", "100ms"]).await;
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
    let lines: Vec<_> = said.output.lines().collect();
    assert!(lines[0].starts_with("SERVICE  REVISION  REQ/S"), "{said:?}");
    assert!(
        lines[1].starts_with("a               1    0.0       -"),
        "{said:?}"
    );

    let (_child, mut lines) = begin(&host, &["top", "--json", "--interval", "100ms"]);
    loop {
        assert_eq!(host.get("/a").await.status(), 200);
        let line = within("a line", lines.next_line()).await.unwrap().unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let service = &line["services"][0];
        assert_eq!(service["name"], "a", "{line}");
        if service["requests_per_second"].as_f64().unwrap() > 0.0 {
            assert!(service["p99_ms"].as_f64().unwrap() > 0.0, "{line}");
            break;
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_is_not_there_ends_every_verb_with_4() {
    // Nobody listens on a port that was just free.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.wasm");
    fs::copy(guest("hello"), &file).unwrap();
    for arguments in [
        &["ls"][..],
        &["deploy", "a", file.to_str().unwrap()],
        &["deploy", "a", file.to_str().unwrap(), "--wait"],
        &["deploy", "--atomic", folder.path().to_str().unwrap()],
        &["rollback", "a"],
        &["rm", "a"],
        &["history", "a"],
        &["events", "-f"],
        &["logs"],
        &["top"],
        &["diff", "a"],
    ] {
        let said = skep(arguments.iter().chain(&["--admin", &*url])).await;
        said.assert_refused(4, &["error: no host answers at", &url]);
        assert_eq!(said.output, "", "{arguments:?}");
    }
}
