//! `skep push` and `skep pull`, with a real registry: what one stores the other fetches, and nothing else is taken.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::guest;
use crate::support::registry::{Registry, digest};
use crate::support::verb::{Said, skep_in};

const CONTAINER_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// user:secret, and user:wrong.
const LOGIN: &str = "dXNlcjpzZWNyZXQ=";
const WRONG_LOGIN: &str = "dXNlcjp3cm9uZw==";

/// An empty folder to work in.
fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// `skep push` of a guest.
async fn push(folder: &Path, name: &str, reference: &str) -> Said {
    let file = guest(name);
    skep_in(
        folder,
        ["push", file.to_str().unwrap(), reference, "--json"],
    )
    .await
}

#[tokio::test]
async fn what_is_pushed_is_pulled_by_tag_and_by_digest() {
    let (registry, folder) = (Registry::open().await, folder());
    for name in ["hello", "cgi"] {
        let bytes = fs::read(guest(name)).unwrap();
        let tagged = registry.reference(&format!("team/{name}:1.0"));
        let said = push(folder.path(), name, &tagged).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.error, "", "progress is for terminals");
        let pushed = said.json();
        assert_eq!(pushed["component"], digest(&bytes));
        let by_digest = pushed["reference"].as_str().unwrap();
        let expected = format!("team/{name}@{}", pushed["digest"].as_str().unwrap());
        assert_eq!(by_digest, registry.reference(&expected));
        for reference in [&*tagged, &*format!("oci://{tagged}"), by_digest] {
            let said = skep_in(folder.path(), ["pull", reference, "--json"]).await;
            assert_eq!(said.code, Some(0), "{said:?}");
            let pulled = said.json();
            for key in ["reference", "digest", "component"] {
                assert_eq!(pulled[key], pushed[key], "{reference}");
            }
            let title = format!("{name}.wasm");
            assert_eq!(
                pulled["annotations"]["org.opencontainers.image.title"],
                title
            );
            assert_eq!(pulled["file"], title);
            assert!(fs::read(folder.path().join(&title)).unwrap() == bytes);
            fs::remove_file(folder.path().join(title)).unwrap();
        }
    }
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn the_image_is_laid_out_as_other_tools_expect() {
    let (registry, folder) = (Registry::open().await, folder());
    for (name, os) in [("hello", "wasip2"), ("cgi", "wasip1")] {
        let said = push(folder.path(), name, &registry.reference(name)).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let bytes = fs::read(guest(name)).unwrap();
        let manifest = registry.get(&format!("/v2/{name}/manifests/latest")).await;
        assert_eq!(manifest["config"]["mediaType"], WASM_CONFIG);
        let layers = json!([{"mediaType": "application/wasm", "digest": digest(&bytes), "size": bytes.len()}]);
        assert_eq!(manifest["layers"], layers);
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config = registry.get(&format!("/v2/{name}/blobs/{config}")).await;
        assert_eq!(config["architecture"], "wasm");
        assert_eq!(config["os"], os);
        assert_eq!(config["layerDigests"], json!([digest(&bytes)]));
        let exports = config["component"]["exports"].to_string();
        assert_eq!(exports.contains("wasi:http/"), os == "wasip2", "{config}");
    }
}

#[tokio::test]
async fn people_are_told_in_columns() {
    let (registry, folder) = (Registry::open().await, folder());
    let (file, reference) = (guest("hello"), registry.reference("hello:1"));
    let arguments = ["push", file.to_str().unwrap(), &reference];
    let pushed = skep_in(folder.path(), arguments).await;
    let component = digest(&fs::read(&file).unwrap());
    let by_digest = registry.reference("hello@sha256:");
    let starts = format!("reference  {by_digest}");
    let ends = format!("\ncomponent  {component}\n");
    assert!(pushed.output.starts_with(&starts), "{pushed:?}");
    assert!(pushed.output.ends_with(&ends), "{pushed:?}");
    let pulled = skep_in(folder.path(), ["pull", &reference, "-o", "other.wasm"]).await;
    assert_eq!(pulled.output, pushed.output + "file       other.wasm\n");
    assert_eq!(names(folder.path()), ["other.wasm"]);
    let said = skep_in(folder.path(), ["pull", &reference, "-o", "not/there.wasm"]).await;
    said.assert_refused(1, &["not/there.wasm", "can't be written"]);
}

#[tokio::test]
async fn what_is_not_there_is_told_with_its_name() {
    let (registry, folder) = (Registry::open().await, folder());
    let said = push(folder.path(), "hello", &registry.reference("hello:1")).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for (rest, part) in [("hello:2", "hello, 2"), ("nothing:1", "nothing, 1")] {
        let said = skep_in(folder.path(), ["pull", &registry.reference(rest)]).await;
        said.assert_refused(1, &["has no ", part, "check the repository and the tag"]);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let said = skep_in(folder.path(), ["pull", &format!("{address}/hello")]).await;
    said.assert_refused(1, &[&format!("no registry answers at http://{address}")]);
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn other_bytes_than_the_digest_says_are_refused() {
    let (registry, folder) = (Registry::open().await, folder());
    let reference = registry.reference("hello:1");
    let pushed = push(folder.path(), "hello", &reference).await.json();
    let component = registry.file(pushed["component"].as_str().unwrap());
    let whole = fs::read(&component).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let longer = [&*whole, b"more"].concat();
    for bytes in [&*flipped, &whole[..whole.len() / 2], &longer] {
        fs::write(&component, bytes).unwrap();
        let said = skep_in(folder.path(), ["pull", &reference]).await;
        said.assert_refused(1, &["is damaged", "try again"]);
        assert!(names(folder.path()).is_empty());
    }
    fs::write(&component, &whole).unwrap();
    let said = skep_in(folder.path(), ["pull", &reference]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test]
async fn what_is_no_component_is_refused_for_what_it_is() {
    let (registry, folder) = (Registry::open().await, folder());
    let container = "application/vnd.oci.image.config.v1+json";
    registry.store("box", container, CONTAINER_LAYER, 4).await;
    let said = skep_in(folder.path(), ["pull", &registry.reference("box")]).await;
    let what = format!("is a container image (layers: {CONTAINER_LAYER})");
    said.assert_refused(1, &[&what, "not a WebAssembly component"]);
    // One of an older tool is.
    let (config, layer) = (
        "application/vnd.wasm.config.v1+json",
        "application/vnd.wasm.content.layer.v1+wasm",
    );
    registry.store("old", config, layer, 4).await;
    let said = skep_in(folder.path(), ["pull", &registry.reference("old")]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(fs::read(folder.path().join("old.wasm")).unwrap(), b"data");
    // Nor is everything stored.
    fs::write(folder.path().join("a.wasm"), "rubbish").unwrap();
    let arguments = ["push", "a.wasm", &registry.reference("a:1")];
    let said = skep_in(folder.path(), arguments).await;
    said.assert_refused(1, &["a.wasm", "not WebAssembly", "build a component"]);
}

#[tokio::test]
async fn a_component_that_is_too_large_is_not_even_fetched() {
    let (registry, folder) = (Registry::open().await, folder());
    let bytes = 300 << 20;
    let layer = "application/wasm";
    registry.store("large", WASM_CONFIG, layer, bytes).await;
    // With nothing to fetch, trying to would be another error.
    fs::remove_file(registry.file(&digest(b"data"))).unwrap();
    let said = skep_in(folder.path(), ["pull", &registry.reference("large")]).await;
    said.assert_refused(1, &["314572800 bytes", "256MiB is the most"]);
}

#[tokio::test]
async fn logins_come_from_docker_s_configuration() {
    let (registry, folder) = (Registry::with_login().await, folder());
    let reference = registry.reference("hello:1");
    let log_in = |auth: &str| {
        let config = json!({"auths": {registry.address.to_string(): {"auth": auth}}});
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    };
    let said = push(folder.path(), "hello", &reference).await;
    said.assert_refused(1, &["wants a login", "docker login"]);
    log_in(WRONG_LOGIN);
    let said = push(folder.path(), "hello", &reference).await;
    said.assert_refused(1, &["does not take the login", "docker login"]);
    let said = skep_in(folder.path(), ["pull", &reference]).await;
    said.assert_refused(1, &["does not take the login"]);
    log_in(LOGIN);
    let said = push(folder.path(), "hello", &reference).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = skep_in(folder.path(), ["pull", &reference]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    fs::write(folder.path().join("config.json"), "rubbish").unwrap();
    let said = skep_in(folder.path(), ["pull", &reference]).await;
    said.assert_refused(1, &["config.json", "docker login"]);
}

#[tokio::test]
async fn what_is_no_reference_is_a_usage_error() {
    for (arguments, part) in [
        (&["pull"][..], "Usage: skep pull"),
        (&["pull", "hello"], "names no registry"),
        (&["pull", "https://registry.example/a"], "without http://"),
        (&["push", "a.wasm"], "Usage: skep push"),
        (&["push", "a.wasm", "registry.example/A:1"], "no repository"),
    ] {
        skep_in(Path::new("/"), arguments)
            .await
            .assert_refused(2, &[part]);
    }
}
