//! What manifests say about recorded requests.

use super::*;
use crate::config::service::record::Record;

fn record(manifest: &str) -> Result<Record, String> {
    let manifest = format!("component = 'hello.wasm'\n{manifest}");
    let folder = Folder::new().with("a.toml", manifest);
    folder.service("a.toml").map(|service| service.record)
}

#[test]
fn nothing_is_recorded_unless_it_is_said() {
    let default = Record::default();
    assert_eq!((default.requests, default.block), (0, false));
    for manifest in ["", "[record]\n"] {
        assert_eq!(record(manifest).unwrap(), default, "{manifest}");
    }
}

#[test]
fn what_is_said_counts() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let said = "[record]\nrequests = 200\nevery = 10\nredact = ['X-Mine']\nblock = true\nignore = ['X-When', 'etag']\n";
    let expected = Record {
        requests: 200,
        every: 10,
        redact: names(&["x-mine"]),
        block: true,
        ignore: names(&["etag", "x-when"]),
    };
    assert_eq!(record(said).unwrap(), expected);
    // What is mirrored may have secrets, too.
    assert!(
        record("[record]\nredact = ['a']\n")
            .unwrap()
            .redact
            .contains("a")
    );
    // A candidate may be held to what runs without being recorded itself.
    let held = record("[record]\nblock = true\nignore = ['etag']\n").unwrap();
    assert_eq!((held.requests, held.block), (0, true));
}

#[test]
fn what_can_not_be_is_refused() {
    for (manifest, said) in [
        (
            "requests = 0",
            "record.requests: must be between 1 and 10000",
        ),
        (
            "requests = 10001",
            "record.requests: must be between 1 and 10000",
        ),
        (
            "requests = 1\nevery = 0",
            "record.every: must be between 1 and",
        ),
        ("every = 2", "record.every: is of no use without requests"),
        ("ignore = ['a b']", "names no header"),
        ("requests = 1\nredact = ['']", "names no header"),
        ("request = 1", "requests"),
    ] {
        let error = record(&format!("[record]\n{manifest}\n")).unwrap_err();
        assert!(error.contains(said), "{manifest}: {error}");
    }
}
