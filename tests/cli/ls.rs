//! `skep ls`: a table for people, JSON for programs, and what to do when no host answers.

use std::net::TcpListener;

use crate::support::verb::skep;
use crate::support::{Host, guest};

#[tokio::test]
async fn services_are_listed_with_state_revision_digest_and_error() {
    let host = Host::with("good", guest("hello"))
        .component("bad", b"rubbish")
        .start()
        .await;
    host.refused_with("bad", "not WebAssembly").await;
    let url = format!("http://{}", host.admin);
    let said = skep(["ls", "--admin", &url]).await;
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
    let lines: Vec<_> = said.output.lines().collect();
    assert!(lines[0].starts_with("SERVICE"), "{said:?}");
    assert!(lines[1].starts_with("bad"), "{said:?}");
    assert!(lines[1].contains("failed"), "{said:?}");
    assert!(
        lines[2].contains("error: ") && said.output.contains("not WebAssembly"),
        "{said:?}"
    );
    let good = lines.last().unwrap();
    let digest = host.service("good").await.digest.unwrap();
    let digest = digest.strip_prefix("sha256:").unwrap();
    for part in ["good", "ready", " 1 ", &digest[..12]] {
        assert!(good.contains(part), "no {part}: {good}");
    }

    let said = skep(["ls", "--json", "--admin", &url]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let listed = said.json();
    assert_eq!(listed["services"][0]["name"], "bad");
    assert_eq!(listed["services"][1]["state"], "ready");
    host.stop().await;
}

#[tokio::test]
async fn a_host_without_services_says_what_to_do() {
    let host = Host::empty().start().await;
    let said = skep(["ls", "--admin", &format!("http://{}", host.admin)]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.output.starts_with("no services yet"), "{said:?}");
    // `status` is another word for it.
    let said = skep(["status", "--admin", &format!("http://{}", host.admin)]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    host.stop().await;
}

#[tokio::test]
async fn without_a_host_there_is_a_hint_and_code_4() {
    // Nobody listens on a port that was just free.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    let said = skep(["ls", "--admin", &url]).await;
    said.assert_refused(
        4,
        &["error: no host answers at", &url, "skep up", "--admin"],
    );
    assert_eq!(said.output, "");
    skep(["ls", "--json", "--admin", &url])
        .await
        .assert_refused(4, &["no host answers"]);
}

#[tokio::test]
async fn what_is_no_admin_api_is_told_apart() {
    let host = Host::with("a", guest("hello")).start().await;
    let gateway = format!("http://{}", host.gateway);
    let said = skep(["ls", "--admin", &gateway]).await;
    said.assert_refused(1, &["error: ", &gateway]);
    skep(["ls", "--admin", "https://127.0.0.1:1"])
        .await
        .assert_refused(1, &["TLS"]);
    skep(["ls", "--admin", "ftp://x"])
        .await
        .assert_refused(1, &["no URL of an admin API"]);
    host.stop().await;
}
