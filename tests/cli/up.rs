//! `skep up`: what it says when it starts, and why it does not.

use std::fs;
use std::net::TcpListener;

use crate::support::verb::{skep, skep_in};
use crate::support::{Host, guest, probe};

const FREE: &str = "127.0.0.1:0";

#[tokio::test]
async fn port_0_takes_a_free_port_and_says_which() {
    let (one, two) = (Host::empty().start().await, Host::empty().start().await);
    let ports = [one.gateway, one.admin, two.gateway, two.admin].map(|address| address.port());
    assert!(ports.iter().all(|port| *port != 0));
    assert_eq!(
        ports
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        4
    );
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn flags_that_can_t_be_read_are_usage_errors() {
    for (arguments, part) in [
        (&["up", "--listen", "nonsense"][..], "--listen"),
        (&["up", "--admin", "8081"], "--admin"),
        (&["up", "--lisetn", FREE], "--listen"),
        (&["up", "one", "two"], "two"),
    ] {
        skep(arguments).await.assert_refused(2, &["error: ", part]);
    }
}

#[tokio::test]
async fn paths_that_can_t_be_served_are_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("a.txt"), "text").unwrap();
    fs::write(at("bad.toml"), "listne = 1\n").unwrap();
    fs::write(at("later.toml"), "services = \"not/yet\"\n").unwrap();
    fs::create_dir(at("services")).unwrap();
    let up = async |arguments: &[&str]| {
        let flags = ["up", "--listen", FREE, "--admin", FREE];
        skep_in(folder.path(), flags.iter().chain(arguments)).await
    };
    up(&["nowhere"])
        .await
        .assert_refused(1, &["nowhere", "does not exist", "create the folder"]);
    up(&["a.txt"])
        .await
        .assert_refused(1, &["a.txt", "neither a folder"]);
    up(&["bad.toml"])
        .await
        .assert_refused(1, &["bad.toml:1", "did you mean \"listen\"?"]);
    up(&["later.toml"])
        .await
        .assert_refused(1, &["later.toml:1", "not/yet", "create it"]);
    up(&["--config", "nowhere.toml"])
        .await
        .assert_refused(1, &["nowhere.toml"]);
    up(&["--state", "a.txt"])
        .await
        .assert_refused(1, &["a.txt"]);
    up(&["--cache", "a.txt"])
        .await
        .assert_refused(1, &["a.txt"]);
    up(&["--admin", "0.0.0.0:0"])
        .await
        .assert_refused(2, &["--admin"]);
}

#[tokio::test]
async fn the_admin_api_is_only_for_this_machine_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("services")).unwrap();
    let said = skep_in(
        folder.path(),
        ["up", "--listen", FREE, "--admin", "0.0.0.0:0"],
    )
    .await;
    said.assert_refused(1, &["--admin", "token"]);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("services")).unwrap();
    let taken = TcpListener::bind(FREE).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let said = skep_in(folder.path(), ["up", flag, &taken, other, FREE]).await;
        said.assert_refused(1, &[&taken, flag]);
        assert_eq!(said.output, "", "it says that it listens only when it does");
    }
}

#[tokio::test]
async fn a_single_component_is_served_at_the_root() {
    let host = Host::empty().serving(guest("hello")).start().await;
    for path in ["/", "/any/path"] {
        let expected = format!("Hello from hello revision 1: GET {path}\n");
        assert_eq!(host.get(path).await.text(), expected);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_skep_toml_lists_services_and_is_followed_when_it_changes() {
    let setup = Host::with("dropped", probe("revision_a"));
    let file = setup.path().join("skep.toml");
    fs::copy(probe("revision_b"), setup.path().join("b.wasm")).unwrap();
    let listed =
        "services = \"services\"\n[[service]]\nname = \"listed\"\ncomponent = \"b.wasm\"\n";
    let host = setup.settings(listed).serving(&file).start().await;
    assert_eq!(host.revision_at("/dropped").await, "a");
    assert_eq!(host.revision_at("/listed").await, "b");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"listed\"", "\"renamed\"")).unwrap();
    host.promoted("renamed", 1).await;
    assert_eq!(host.revision_at("/renamed").await, "b");
    host.gone("/listed").await;
    // A mistake in it stops nothing.
    fs::write(&file, "rubbish").unwrap();
    host.log_line("what is wrong with skep.toml", |line| {
        line.text().contains("skep.toml:1")
    })
    .await;
    assert_eq!(host.revision_at("/renamed").await, "b");
    assert_eq!(host.revision_at("/dropped").await, "a");
    host.stop().await;
}

#[tokio::test]
async fn help_and_version_are_for_standard_output() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["up", "--help"],
        &["check", "--help"],
    ] {
        let said = skep(arguments).await;
        assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
        assert!(
            said.output.contains("skep") || said.output.contains("Usage"),
            "{said:?}"
        );
    }
    skep([] as [&str; 0])
        .await
        .assert_refused(2, &["Usage: skep"]);
}
