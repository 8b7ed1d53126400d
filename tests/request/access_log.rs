//! A line for each request from outside, in a file of its own, however the disk and the clients behave.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use http::Request;
use rustix::process::Signal;

use crate::support::client::{connect, empty, get};
use crate::support::setup::Setup;
use crate::support::wait::until;
use crate::support::{Host, fault, guest, probe};
use tokio::io::AsyncWriteExt;

fn settings(format: &str) -> String {
    format!("[access_log]\nfile = \"access.log\"\nformat = \"{format}\"\n")
}

fn file(setup: &Setup) -> PathBuf {
    setup.path().join("access.log")
}

/// The lines of a file, as soon as there are so many.
async fn lines(path: &PathBuf, count: usize) -> Vec<String> {
    until(
        &format!("{count} lines in {}", path.display()),
        async || {
            let text = fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
            (lines.len() >= count && text.ends_with('\n')).then_some(lines)
        },
    )
    .await
}

#[tokio::test]
async fn every_request_from_outside_has_its_line() {
    let host = Host::with("a", guest("hello"))
        .and("b", fault("trap"))
        .settings(&settings("json"))
        .settings("trusted_proxies = \"127.0.0.1\"\n")
        .start()
        .await;
    let request = Request::get("/a/b?c=d")
        .header("x-forwarded-for", "192.0.2.1")
        .header("referer", "http://from.example/")
        .header("user-agent", "Test/1.0")
        .header("x-request-id", "one")
        .body(empty())
        .unwrap();
    let bytes = host.request(request).await.bytes().len();
    assert_eq!(host.connect_h2().await.get("/b").await.status(), 502);
    assert_eq!(host.get("/none").await.status(), 404);
    let lines = lines(&file(&host), 3).await;
    let object = |line: &String| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let objects: Vec<_> = lines.iter().map(object).collect();
    for (at, field, value) in [
        (0, "client.address", "192.0.2.1".into()),
        (0, "http.request.method", "GET".into()),
        (0, "url.path", "/a/b".into()),
        (0, "url.query", "c=d".into()),
        (0, "network.protocol.version", "1.1".into()),
        (
            0,
            "http.request.header.referer",
            "http://from.example/".into(),
        ),
        (0, "user_agent.original", "Test/1.0".into()),
        (0, "http.response.status_code", 200.into()),
        (0, "http.response.body.size", bytes.into()),
        (0, "skep.service", "a".into()),
        (0, "skep.request_id", "one".into()),
        (0, "error.type", serde_json::Value::Null),
        (1, "network.protocol.version", "2".into()),
        (1, "url.path", "/b".into()),
        (1, "error.type", "guest_trapped".into()),
        (1, "http.response.status_code", 502.into()),
        (2, "skep.service", serde_json::Value::Null),
        (2, "error.type", "no_route".into()),
    ] {
        assert_eq!(objects[at][field], value, "{field}: {}", objects[at]);
    }
    host.stop().await;
}

#[tokio::test]
async fn the_bytes_of_a_body_are_those_that_were_sent() {
    let host = Host::with("a", probe("as_told"))
        .manifest("a", "[edge.compression]\n")
        .settings(&settings("json"))
        .start()
        .await;
    let mut sent = Vec::new();
    for mut connection in host.both().await {
        for accepted in ["identity", "gzip"] {
            let request = Request::get("/a?h1=content-type:text/html&bytes=100000")
                .header("accept-encoding", accepted);
            let answer = connection.send(request.body(empty()).unwrap()).await;
            sent.push(answer.bytes().len());
            let bytes = host.logged(&answer).await.field("bytes").to_owned();
            assert_eq!(bytes, answer.bytes().len().to_string(), "{accepted}");
        }
    }
    assert!(sent[1] < sent[0] && sent[3] < sent[2], "{sent:?}");
    let lines = lines(&file(&host), sent.len()).await;
    for (line, bytes) in lines.iter().zip(sent) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["http.response.body.size"], bytes, "{line}");
    }
    host.stop().await;
}

#[tokio::test]
async fn what_clients_send_stays_in_its_field() {
    let host = Host::with("a", guest("hello"))
        .settings(&settings("combined"))
        .start()
        .await;
    let hostile = "GET /a?%22%0a' HTTP/1.1\r\nHost: here\r\nConnection: close\r\nReferer: \" 200 5 \\\"\r\n\
                   User-Agent: a\x09b\u{e9}\"\r\n\r\n";
    let answer = host.raw(hostile).await;
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    let line = lines(&file(&host), 1).await.remove(0);
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let tail = r#""\" 200 5 \\\"" "a\tb\xc3\xa9\"""#;
    assert!(line.trim_end().ends_with(tail), "{line}");
    assert!(
        line.contains(r#"] "GET /a?%22%0a' HTTP/1.1" 200 "#),
        "{line}"
    );
    // However long.
    let long = "x".repeat(60_000);
    let request = Request::get("/none").header("user-agent", long);
    assert_eq!(
        host.request(request.body(empty()).unwrap()).await.status(),
        404
    );
    let line = lines(&file(&host), 2).await.remove(1);
    assert!(line.len() < 10_000, "{} bytes", line.len());
    host.stop().await;
}

#[tokio::test]
async fn requests_that_come_to_nothing_have_their_lines_too() {
    let host = Host::with("a", fault("sleep"))
        .settings(&settings("common"))
        .settings("[tls]\nlisten = \"127.0.0.1:0\"\nredirect = true\n")
        .flag("--tls-self-signed")
        .start()
        .await;
    assert_eq!(host.get("/a").await.status(), 308);
    let lines_of = lines(&file(&host), 1).await;
    assert!(
        lines_of[0].contains("\"GET /a HTTP/1.1\" 308 -"),
        "{lines_of:?}"
    );
    host.stop().await;
    let host = Host::with("a", fault("sleep"))
        .manifest("a", "[limits]\ntimeout = \"600s\"\n")
        .settings(&settings("common"))
        .start()
        .await;
    let gone = host.begin("/a").await;
    host.works_on("a", 1).await;
    drop(gone);
    let lines_of = lines(&file(&host), 1).await;
    assert!(
        lines_of[0].contains("\"GET /a HTTP/1.1\" 499 -"),
        "{lines_of:?}"
    );
    host.stop().await;
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_opened_again() {
    let host = Host::with("a", guest("hello"))
        .settings(&settings("common"))
        .start()
        .await;
    let (path, moved) = (file(&host), host.path().join("access.log.1"));
    assert_eq!(host.get("/a").await.status(), 200);
    lines(&path, 1).await;
    fs::rename(&path, &moved).unwrap();
    assert_eq!(host.get("/a").await.status(), 200);
    lines(&moved, 2).await;
    host.signal(Signal::HUP);
    host.log_line("the file opened again", |line| {
        line.message() == "the access log was opened again"
    })
    .await;
    assert_eq!(host.get("/a").await.status(), 200);
    lines(&path, 1).await;
    // Where it can't be, what is open is written on.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    host.signal(Signal::HUP);
    host.log_line("the file not opened", |line| {
        line.message()
            .starts_with("the access log could not be opened again")
    })
    .await;
    assert_eq!(host.get("/a").await.status(), 200);
    let setup = host.stop().await;
    // What was there is added to when the host starts again, and what came last is written before it ends.
    fs::remove_dir(&path).unwrap();
    fs::rename(&moved, &path).unwrap();
    let host = setup.start().await;
    assert_eq!(host.get("/a").await.status(), 200);
    let setup = host.stop().await;
    let text = fs::read_to_string(file(&setup)).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[tokio::test]
async fn a_disk_that_is_slow_loses_lines_and_holds_no_request_up() {
    // More than there is memory for, which is 16 MiB.
    const LINES: usize = 9000;
    const PATH_BYTES: usize = 2000;
    let setup = Host::with("a", guest("hello"))
        .settings(&settings("common"))
        .settings("[log]\nrequests = false\n");
    // A pipe that nobody reads.
    let path = file(&setup);
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
    let host = setup.start().await;
    let mut stream = connect(host.gateway).await;
    let request = format!(
        "GET /none?{} HTTP/1.1\r\nHost: here\r\n\r\n",
        "x".repeat(PATH_BYTES)
    );
    let (mut read, mut write) = stream.split();
    let all = request.repeat(LINES);
    let send = async { write.write_all(all.as_bytes()).await.unwrap() };
    let take = async {
        let (mut answers, mut bytes) = (0, Vec::new());
        while answers < LINES {
            tokio::io::AsyncReadExt::read_buf(&mut read, &mut bytes)
                .await
                .unwrap();
            let text = String::from_utf8_lossy(&bytes);
            answers += text.matches("HTTP/1.1 404").count();
            let kept = bytes.len().min(11);
            bytes.drain(..bytes.len() - kept);
        }
    };
    futures::join!(send, take);
    let dropped = host
        .metric("skep_access_log_lines_dropped_total", &[])
        .await;
    assert!(dropped.unwrap() > 0.0);
    assert_eq!(host.connect().await.send(get("/a")).await.status(), 200);
    // What was not dropped comes whole once somebody reads.
    let mut first = vec![0; 4096];
    pipe.read_exact(&mut first).unwrap();
    let first = String::from_utf8(first).unwrap();
    assert!(first.starts_with("127.0.0.1 - - ["), "{first}");
    host.stop().await;
}
