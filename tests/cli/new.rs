//! `skep new`: sources that are right as they are, and nothing overwritten.

use std::fs;

use http::Request;

use crate::support::client::full;
use crate::support::verb::skep_in;
use crate::support::{Host, Sources};

#[tokio::test]
async fn what_it_makes_is_built_and_served_as_it_is() {
    let sources = Sources::new("fresh").await;
    let said = skep_in(sources.parent(), ["build", "fresh"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for path in [".", "service.toml"] {
        let said = skep_in(&sources.at("."), ["check", path]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.output.lines().count(), 1, "{said:?}");
    }
    let host = Host::empty().serving(sources.at("")).start().await;
    for path in ["/fresh", "/fresh/"] {
        assert_eq!(host.get(path).await.text(), "Hello from fresh\n");
    }
    let shout = Request::post("/fresh/shout").body(full("so")).unwrap();
    let shouted = host.request(shout).await;
    assert_eq!(shouted.text(), "SO");
    assert_eq!(host.get("/fresh/shout").await.status(), 405);
    assert_eq!(host.get("/fresh/else").await.status(), 404);
    // It is one service, whatever else lies in its folder.
    fs::write(sources.at("rustfmt.toml"), "").unwrap();
    fs::copy(sources.at("fresh.wasm"), sources.at("other.wasm")).unwrap();
    host.signal(rustix::process::Signal::HUP);
    host.log_line("the rescan", |line| line.text().contains("looking again"))
        .await;
    assert_eq!(host.services().await.len(), 1);
    host.stop().await;
}

#[tokio::test]
async fn it_says_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let said = skep_in(folder.path(), ["new", "shop", "--lang", "rust"]).await;
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
    for part in ["  skep build shop\n", "  skep up shop --watch\n"] {
        assert!(said.output.contains(part), "{said:?}");
    }
    for file in ["Cargo.toml", "src/lib.rs", "service.toml", ".gitignore"] {
        assert!(folder.path().join("shop").join(file).is_file(), "{file}");
    }
}

#[tokio::test]
async fn nothing_is_overwritten_and_names_are_services_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("taken")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for (name, part) in [
        ("taken", "taken: is there already"),
        ("file", "file: is there already"),
        ("My_Shop", "such as \"my-shop\""),
        ("../elsewhere", "not a service name"),
    ] {
        let said = skep_in(folder.path(), ["new", name]).await;
        said.assert_refused(1, &["error: ", part]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let said = skep_in(folder.path(), ["new", "shop", "--lang", "cobol"]).await;
    said.assert_refused(2, &["cobol", "possible values: rust"]);
}
