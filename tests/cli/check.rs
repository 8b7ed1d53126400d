//! `skep check`: good files are 0, bad ones 1, each named with what is wrong and what to do.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::tls::Authority;
use crate::support::verb::{skep, skep_in};
use crate::support::{fault, guest, probe};

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[tokio::test]
async fn what_a_service_may_call_must_be_there() {
    let hello = bytes(&guest("hello"));
    let may_call = b"[allow]\nservices = [\"b\", \"c\"]\n";
    let folder = folder(&[("a.wasm", &hello), ("a.toml", may_call), ("b.wasm", &hello)]);
    let said = skep([Path::new("check"), folder.path()]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let expected = "a may call c, which is not there: deploy it, or take it out of a's manifest";
    assert!(said.output.contains(expected), "{said:?}");
    // By itself it may be meant for a folder that has the others.
    let said = skep([Path::new("check"), &folder.path().join("a.toml")]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test]
async fn every_kind_of_component_is_good() {
    let files = ["hello", "hello-p3", "echo", "cgi"].map(guest);
    let said = skep(
        [Path::new("check")]
            .into_iter()
            .chain(files.iter().map(|file| &**file)),
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.error, "");
    assert_eq!(said.output.lines().count(), 4, "{said:?}");
    for line in said.output.lines() {
        assert!(line.starts_with("ok  "), "{line}");
    }
    for part in ["/hello", "wasi:http 0.2", "wasi:http 0.3", "CGI"] {
        assert!(said.output.contains(part), "no {part}: {said:?}");
    }
}

#[tokio::test]
async fn a_guest_that_misbehaves_when_it_runs_is_good() {
    let path = fault("endless_start");
    let said = skep([Path::new("check"), &path]).await;
    // Its name can't be a service's: underscores.
    said.assert_refused(1, &["endless_start"]);
    let copy = folder(&[("endless.wasm", &bytes(&path))]);
    let said = skep_in(copy.path(), ["check", "endless.wasm"]).await;
    assert_eq!(said.code, Some(0), "nothing is run: {said:?}");
}

#[tokio::test]
async fn bad_components_are_named_with_what_is_wrong_and_what_to_do() {
    let whole = bytes(&guest("hello"));
    let core = wat::parse_str("(module (func (export \"add\")))").unwrap();
    let foreign = wat::parse_str(
        "(component (import \"wasi:keyvalue/store@0.2.0\" (instance)) (instance $i) \
             (export \"wasi:http/incoming-handler@0.2.3\" (instance $i)))",
    )
    .unwrap();
    let cases: [(&str, &[u8], &str); 5] = [
        ("text", b"rubbish", "build a component"),
        ("cut", &whole[..whole.len() / 2], "copy or build it again"),
        ("empty", b"", "empty"),
        ("core", &core, "wasm32-wasip2"),
        ("foreign", &foreign, "imports wasi:keyvalue/store@0.2.0"),
    ];
    for (name, bytes, what) in cases {
        let file = format!("{name}.wasm");
        let folder = folder(&[(&file, bytes)]);
        let said = skep_in(folder.path(), ["check", &file]).await;
        said.assert_refused(1, &["error", &file, what]);
        // The same in a folder, beside a good one.
        fs::copy(guest("hello"), folder.path().join("good.wasm")).unwrap();
        let said = skep_in(folder.path(), ["check", "."]).await;
        said.assert_refused(1, &["ok", "good", "error", &file]);
    }
    let said = skep(["check", "/nowhere/a.wasm"]).await;
    said.assert_refused(1, &["/nowhere/a.wasm", "check the path"]);
}

#[tokio::test]
async fn bad_manifests_are_told_with_file_and_line() {
    let component = bytes(&guest("hello"));
    for (manifest, parts) in [
        (
            "[limits]\nmemroy = \"1MiB\"\n",
            &["a.toml:2", "did you mean \"memory\"?"][..],
        ),
        ("[limits]\n\ncpu = 5\n", &["a.toml:3", "\"500ms\""]),
        ("name = \n", &["a.toml:1"]),
        (
            "component = \"b.wasm\"\n",
            &["a.toml:1", "b.wasm", "does not exist"],
        ),
        (
            "[[route]]\npath = \"nonsense\"\n",
            &["a.toml:2", "nonsense"],
        ),
        (
            "[instances]\nconcurrency = 2\n",
            &["[instances] concurrency"],
        ),
        ("[limits]\nmemory = \"5GiB\"\n", &["memory"]),
    ] {
        let folder = folder(&[("a.toml", manifest.as_bytes()), ("a.wasm", &component)]);
        for path in ["a.toml", "."] {
            let said = skep_in(folder.path(), ["check", path]).await;
            said.assert_refused(1, parts);
        }
    }
}

#[tokio::test]
async fn services_that_don_t_go_together_are_told_with_both_names() {
    let component = bytes(&probe("revision_a"));
    let route = b"[[route]]\npath = \"/same\"\n";
    let together = folder(&[
        ("a.wasm", &component),
        ("a.toml", route),
        ("b.wasm", &component),
        ("b.toml", route),
    ]);
    let said = skep_in(together.path(), ["check", "."]).await;
    said.assert_refused(1, &["service a", "service b", "/same"]);
    let twice = folder(&[
        ("a.wasm", &component),
        ("b.wasm", &component),
        ("b.toml", b"name = \"a\"\n"),
    ]);
    let said = skep_in(twice.path(), ["check", "."]).await;
    said.assert_refused(1, &["a.wasm", "b.toml", "claim to be service a"]);
}

#[tokio::test]
async fn a_skep_toml_is_checked_with_all_that_it_lists() {
    let component = bytes(&guest("hello"));
    let good = "listen = \"127.0.0.1:9000\"\nservices = \"drop-ins\"\n\n[[service]]\nname = \"a\"\ncomponent = \"a.wasm\"\n";
    let files = |text: &'static str| {
        folder(&[
            ("skep.toml", text.as_bytes()),
            ("a.wasm", &component),
            ("drop-ins/b.wasm", &component),
        ])
    };
    let said = skep_in(files(good).path(), ["check", "skep.toml"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.output.lines().count(), 2, "{said:?}");
    for (text, parts) in [
        (
            "listne = \"127.0.0.1:9000\"\n",
            &["skep.toml:1", "did you mean \"listen\"?"][..],
        ),
        ("[timeouts]\ndrain = 30\n", &["skep.toml:2", "drain"]),
        (
            "admin = \"0.0.0.0:8081\"\n",
            &["skep.toml:1", "admin_token"],
        ),
        (
            "[[service]]\nname = \"c\"\ncomponent = \"c.wasm\"\n",
            &["skep.toml:3", "c.wasm"],
        ),
    ] {
        let said = skep_in(files(text).path(), ["check", "skep.toml"]).await;
        said.assert_refused(1, parts);
    }
}

#[tokio::test]
async fn json_says_the_same() {
    let folder = folder(&[
        ("good.wasm", &bytes(&guest("hello"))),
        ("bad.wasm", b"rubbish"),
    ]);
    let said = skep_in(folder.path(), ["check", "--json", "."]).await;
    assert_eq!(said.code, Some(1));
    let found = said.json();
    assert_eq!(found["services"][0]["name"], "good", "{found}");
    assert_eq!(found["problems"][0]["service"], "bad", "{found}");
    let problem = found["problems"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("not WebAssembly"), "{problem}");
    let said = skep_in(folder.path(), ["check", "--json", "good.wasm"]).await;
    assert_eq!(said.code, Some(0));
    assert_eq!(said.json()["problems"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn nothing_to_check_is_a_usage_error() {
    skep(["check"])
        .await
        .assert_refused(2, &["Usage: skep check"]);
    skep(["chekc"]).await.assert_refused(2, &["check"]);
    skep(["check", "--jsno", "x"])
        .await
        .assert_refused(2, &["--json"]);
}

#[tokio::test]
async fn certificates_of_a_skep_toml_are_checked_with_it() {
    let (shop, other) = (Authority::new(), Authority::new());
    let (pair, stranger) = (
        shop.issue(&["shop.example"]),
        other.issue(&["shop.example"]),
    );
    let (key, wrong) = (pair.key.serialize_pem(), stranger.key.serialize_pem());
    let settings = "listen = \"127.0.0.1:0\"\n[tls]\nlisten = \"127.0.0.1:0\"\n\
                    certificate = [{ cert = \"shop.pem\", key = \"shop.key\" }]\n";
    let with = |key: &str| {
        folder(&[
            ("skep.toml", settings.as_bytes()),
            ("shop.pem", pair.pem.as_bytes()),
            ("shop.key", key.as_bytes()),
        ])
    };
    let said = skep_in(with(&key).path(), ["check", "skep.toml"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = skep_in(with(&wrong).path(), ["check", "skep.toml"]).await;
    said.assert_refused(
        1,
        &[
            "shop.key: is not the key of ",
            "name the one that it was made with",
        ],
    );
    let without = folder(&[("skep.toml", settings.as_bytes())]);
    let said = skep_in(without.path(), ["check", "skep.toml"]).await;
    said.assert_refused(1, &["shop.pem: does not exist: create the file"]);
}
