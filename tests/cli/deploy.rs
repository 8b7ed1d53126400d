//! `skep deploy` and what is done with a service afterwards: against a real host, told in lines and in codes.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::registry::{Registry, digest};
use crate::support::verb::{Said, skep_in};
use crate::support::{Host, guest};

/// Of a digest, where people read it.
const SHOWN_CHARS: usize = "sha256:".len() + 12;

/// `skep VERB ARGUMENTS` for a host.
async fn ask(host: &Host, folder: &Path, arguments: &[&str]) -> Said {
    let url = format!("http://{}", host.admin);
    let admin = ["--admin", &url];
    skep_in(folder, arguments.iter().chain(&admin)).await
}

/// A folder with components of these names.
fn folder(components: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in components {
        fs::copy(guest(name), folder.path().join(format!("{name}.wasm"))).unwrap();
    }
    folder
}

#[tokio::test]
async fn a_service_is_deployed_changed_rolled_back_and_removed() {
    let (host, folder) = (Host::empty().start().await, folder(&["hello", "echo"]));
    let skep = async |arguments: &[&str]| ask(&host, folder.path(), arguments).await;
    let said = skep(&["deploy", "a", "hello.wasm"]).await;
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
    let hello = digest(&fs::read(guest("hello")).unwrap());
    let begins = format!("a  revision 1  promoted  {}  ", &hello[..SHOWN_CHARS]);
    assert!(said.output.starts_with(&begins), "{said:?}");
    assert_eq!(said.output.lines().count(), 1, "{said:?}");
    assert_eq!(host.get("/a").await.status(), 200);

    let said = skep(&["deploy", "a", "hello.wasm"]).await;
    assert!(said.output.contains("  unchanged  "), "{said:?}");
    let said = skep(&["deploy", "a", "echo.wasm", "--json"]).await;
    let done = &said.json()["services"][0];
    assert_eq!(
        (done["service"].as_str(), done["outcome"].as_str()),
        (Some("a"), Some("promoted"))
    );
    assert_eq!(done["revision"], 2);
    assert_eq!(done["digest"], digest(&fs::read(guest("echo")).unwrap()));

    let said = skep(&["rollback", "a"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.output.contains("  rolled back  "), "{said:?}");
    assert_eq!(host.service("a").await.digest.as_deref(), Some(&*hello));
    let said = skep(&["rollback", "a", "--to", "99"]).await;
    said.assert_refused(1, &["error: ", "99"]);

    let said = skep(&["rm", "a"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.output.contains("  removed  "), "{said:?}");
    host.gone("/a").await;
    let said = skep(&["rm", "a"]).await;
    said.assert_refused(1, &["error: there is no service a"]);
    host.stop().await;
}

#[tokio::test]
async fn a_manifest_goes_with_the_component_without_what_files_need() {
    let (host, folder) = (Host::empty().start().await, folder(&["hello"]));
    let manifest = "name = \"hello\"\ncomponent = \"hello.wasm\"\n[[route]]\npath = \"/elsewhere\"\n\
                    [build]\ncommand = \"make\"\n";
    fs::write(folder.path().join("hello.toml"), manifest).unwrap();
    let arguments = ["deploy", "hello", "hello.wasm", "--config", "hello.toml"];
    let said = ask(&host, folder.path(), &arguments).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(host.get("/elsewhere").await.status(), 200);

    fs::write(folder.path().join("hello.toml"), "[limit]\n").unwrap();
    let said = ask(&host, folder.path(), &arguments).await;
    said.assert_refused(1, &["error: ", "limits"]);
    fs::write(folder.path().join("hello.toml"), "[limits").unwrap();
    let said = ask(&host, folder.path(), &arguments).await;
    said.assert_refused(1, &["error: hello.toml", "line 1"]);
    assert_eq!(host.get("/elsewhere").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_told_with_the_host_s_reason() {
    let (host, folder) = (Host::empty().start().await, folder(&["hello"]));
    let skep = async |arguments: &[&str]| ask(&host, folder.path(), arguments).await;
    fs::write(folder.path().join("bad.wasm"), "rubbish").unwrap();
    let said = skep(&["deploy", "a", "bad.wasm"]).await;
    said.assert_refused(1, &["error: ", "not WebAssembly"]);
    assert_eq!(said.output, "");
    let said = skep(&["deploy", "a", "nothing.wasm"]).await;
    said.assert_refused(1, &["error: nothing.wasm", "can't be read"]);
    let said = skep(&["deploy", "a", "hello.wasm", "--if-generation", "7"]).await;
    said.assert_refused(1, &["error: "]);
    let said = skep(&[
        "deploy",
        "a",
        "hello.wasm",
        "--if-generation",
        "0",
        "--json",
    ])
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let generation = said.json()["services"][0]["generation"].to_string();
    let said = skep(&["deploy", "a", "hello.wasm", "--if-generation", "0"]).await;
    said.assert_refused(1, &["error: "]);
    let said = skep(&["deploy", "a", "hello.wasm", "--if-generation", &generation]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for verb in ["promote", "pause", "resume", "abort"] {
        let said = skep(&[verb, "a"]).await;
        said.assert_refused(1, &["error: a has no rollout under way"]);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_bundle_is_deployed_whole_or_not_at_all() {
    let (host, folder) = (Host::empty().start().await, folder(&["hello", "echo"]));
    fs::write(folder.path().join("bad.wasm"), "rubbish").unwrap();
    let bundle = "[[service]]\nname = \"a\"\ncomponent = \"hello.wasm\"\n\
                  [[service]]\nname = \"b\"\ncomponent = \"echo.wasm\"\nconfig = \"b.toml\"\n";
    fs::write(
        folder.path().join("b.toml"),
        "name = \"b\"\n[[route]]\npath = \"/echo\"\n",
    )
    .unwrap();
    fs::write(folder.path().join("bundle.toml"), bundle).unwrap();
    fs::write(
        folder.path().join("spoilt.toml"),
        bundle
            .replace("\"a\"", "\"c\"")
            .replace("echo.wasm", "bad.wasm"),
    )
    .unwrap();
    let said = ask(&host, folder.path(), &["deploy", "-f", "spoilt.toml"]).await;
    said.assert_refused(1, &["error: b: ", "not WebAssembly"]);
    assert_eq!(host.service("c").await.revision, None);

    let said = ask(
        &host,
        folder.path(),
        &["deploy", "-f", "bundle.toml", "--wait"],
    )
    .await;
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
    let lines: Vec<_> = said.output.lines().collect();
    assert_eq!(lines.len(), 2, "{said:?}");
    for (line, name) in lines.iter().zip(["a", "b"]) {
        assert!(
            line.starts_with(&format!("{name}  revision 1  promoted  ")),
            "{said:?}"
        );
    }
    assert_eq!(host.get("/a").await.status(), 200);
    assert_eq!(host.get("/echo").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn a_folder_of_drop_ins_is_deployed_at_once() {
    let (host, folder) = (Host::empty().start().await, folder(&["hello"]));
    let shop = folder.path().join("shop");
    fs::create_dir(&shop).unwrap();
    fs::copy(guest("echo"), shop.join("main.wasm")).unwrap();
    let manifest = "component = \"main.wasm\"\n[[route]]\npath = \"/echo\"\n";
    fs::write(shop.join("service.toml"), manifest).unwrap();
    let place = folder.path().to_str().unwrap();
    let said = ask(
        &host,
        Path::new("/"),
        &["deploy", "--atomic", place, "--json"],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let done = said.json();
    let names: Vec<_> = done["services"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2, "{done}");
    assert_eq!(host.get("/hello").await.status(), 200);
    assert_eq!(host.get("/echo").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn what_a_registry_has_is_deployed_by_digest() {
    let (registry, host) = (Registry::open().await, Host::empty().start().await);
    let folder = folder(&["hello"]);
    let reference = registry.reference("team/hello:1");
    let said = skep_in(folder.path(), ["push", "hello.wasm", &reference, "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let by_digest = said.json()["reference"].as_str().unwrap().to_owned();
    let place = format!("oci:{reference}");
    let said = ask(&host, folder.path(), &["deploy", "hello", &place]).await;
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{said:?}");
    let said = ask(&host, folder.path(), &["history", "hello"]).await;
    assert!(
        said.output.contains(&format!("oci:{by_digest}")),
        "{said:?}"
    );
    host.stop().await;
}
