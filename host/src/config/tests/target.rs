//! What answers for a service, if that is no component.

use super::super::service::target::{Server, Target, Upstream};
use super::*;

fn upstream(folder: &Folder, manifest: &str) -> Upstream {
    match folder.service(manifest).unwrap().target {
        Target::Upstream(upstream) => upstream,
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_are_named_by_urls() {
    let folder = Folder::new()
        .with("a.toml", "upstream = \"http://10.0.0.5:9000\"")
        .with(
            "b.toml",
            "upstream = [\"https://a/\", \"http://[::1]:80/v1//\"]\npreserve_host = true",
        );
    let a = upstream(&folder, "a.toml");
    assert_eq!(a.servers[0].to_string(), "http://10.0.0.5:9000");
    assert!(!a.preserve_host && a.ca.is_none());
    let b = upstream(&folder, "b.toml");
    let shown: Vec<_> = b.servers.iter().map(Server::to_string).collect();
    assert_eq!(shown, ["https://a", "http://[::1]:80/v1"]);
    assert!(b.preserve_host);
    for wrong in [
        "a",
        "a:80",
        "/a",
        "ftp://a",
        "http://",
        "http:///a",
        "http://me@a",
        "http://a:0",
        "http://a:65536",
        "http://a:b",
        "http://a:",
        "http://a/?x",
        "http://a/#x",
        "http://a b",
        "",
    ] {
        assert!(Server::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

#[test]
fn a_folder_is_named_by_a_path() {
    let manifest = "files = \"public\"\ncache_control = \"no-cache\"\nspa = \"app/index.html\"";
    let folder = Folder::new().with("a.toml", manifest).with("public/x", "");
    let Target::Files(files) = folder.service("a.toml").unwrap().target else {
        panic!("no files");
    };
    assert_eq!(files.folder, folder.path("public"));
    assert_eq!(files.cache_control.as_deref(), Some("no-cache"));
    assert_eq!(files.spa.as_deref(), Some("app/index.html"));
}

/// Each manifest is refused with its message.
fn refused(cases: &[(&str, &str)]) {
    let folder = Folder::new().with("public/x", "").with("bad.pem", "no");
    for (manifest, message) in cases {
        fs::write(folder.path("a.toml"), manifest).unwrap();
        assert_eq!(
            folder.service("a.toml").unwrap_err(),
            *message,
            "{manifest}"
        );
    }
}

#[test]
fn what_is_wrong_with_servers_is_said() {
    refused(&[
        (
            "component = \"hello.wasm\"\nupstream = \"http://a\"",
            "a.toml:2: upstream: is given beside component: what answers is one of the two",
        ),
        (
            "upstream = \"http://a\"\nfiles = \"public\"",
            "a.toml:2: files: is given beside upstream: what answers is one of the two",
        ),
        (
            "upstream = []",
            "a.toml:1: upstream: must name 1 to 64 servers",
        ),
        (
            "upstream = [\"http://a\", \"http://a/\"]",
            "a.toml:1: upstream: names http://a twice",
        ),
        (
            "upstream = \"a\"",
            "a.toml:1: upstream: \"a\" has no scheme: write it as \"http://10.0.0.5:9000\" or \
             \"https://shop.example/base\"",
        ),
        (
            "component = \"hello.wasm\"\nspa = \"x\"",
            "a.toml:2: spa: is about files, and there are none",
        ),
        (
            "component = \"hello.wasm\"\npreserve_host = true",
            "a.toml:2: preserve_host: is about an upstream, and there is none",
        ),
        (
            "upstream = \"http://a\"\nupstream_ca = \"x.pem\"",
            "a.toml:2: upstream_ca: is of no use without a server at https://",
        ),
        (
            "upstream = \"https://a\"\nupstream_ca = \"../x.pem\"",
            "a.toml:2: upstream_ca: \"../x.pem\" leaves the manifest's folder: put the file beside the manifest",
        ),
        (
            "upstream = \"https://a\"\nupstream_ca = \"bad.pem\"",
            "bad.pem: has no certificate: it takes PEM, which begins with -----BEGIN CERTIFICATE-----",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_a_folder_is_said_and_what_is_for_components_alone() {
    refused(&[
        (
            "upstream = \"http://a\"\n[env]\nA = \"1\"",
            "a.toml:2: env: is for a component, and an upstream is none: leave it out",
        ),
        (
            "upstream = \"http://a\"\n[limits]\nmemory = \"1MiB\"",
            "a.toml:3: limits.memory: is for a component, and an upstream is none: leave it out",
        ),
        (
            "files = \"public\"\n[build]\ncommand = \"make\"",
            "a.toml:2: build: is for a component, and files are none: leave it out",
        ),
        (
            "files = \"public\"\n[rollout]\nmirror = 5",
            "a.toml:3: rollout.mirror: is for a component, and files are none: leave it out",
        ),
        (
            "files = \"gone\"",
            "gone: does not exist: it is the folder that `files` names: create it, or correct the name",
        ),
        (
            "files = \"/etc\"",
            "a.toml:1: files: \"/etc\" leaves the manifest's folder: put the file beside the manifest",
        ),
        (
            "files = \"public\"\nspa = \"../x\"",
            "a.toml:2: spa: names no file of the folder: write it as in \"index.html\"",
        ),
        (
            "files = \"public\"\n[[route]]\npath = \"/a\"\nwebsocket = true",
            "a.toml:4: route[0].websocket: is for components and upstreams, and this service is files: leave it out",
        ),
        (
            "files = \"public\"\ncache_control = \"a\\nb\"",
            "a.toml:2: cache_control: is no value that a header can have",
        ),
    ]);
}

#[test]
fn what_is_stored_reads_again_a_component_as_it_was_stored_before_there_was_anything_else() {
    let folder = Folder::new()
        .with("a.toml", "upstream = \"http://a\"\npreserve_host = true")
        .with("b.toml", "files = \"public\"")
        .with("hello.toml", "")
        .with("public/x", "");
    for manifest in ["a.toml", "b.toml", "hello.toml"] {
        let config = folder.service(manifest).unwrap();
        let stored = serde_json::to_value(&config).unwrap();
        let is_component = config.target.component().is_some();
        assert_eq!(stored["component"].is_string(), is_component, "{stored}");
        let read: ServiceConfig = serde_json::from_value(stored).unwrap();
        assert_eq!(read, config);
    }
}
