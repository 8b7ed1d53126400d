//! With `[trust] keys`, a component from a registry is taken if one of them signed it, or the image that it is.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::support::operator::put;
use crate::support::registry::Registry;
use crate::support::signer::{Signer, payload};
use crate::support::verb::{Said, skep_in};
use crate::support::{Host, guest};

/// A registry, a host that trusts one key, and somebody at a terminal.
struct Scene {
    registry: Registry,
    host: Host,
    ours: Signer,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let ours = Signer::new();
        Self {
            registry: Registry::open().await,
            host: Host::empty().settings(&ours.trusted()).start().await,
            ours,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    async fn skep(&self, arguments: &[&str]) -> Said {
        skep_in(self.folder.path(), arguments).await
    }

    /// Stores a guest as `NAME:1`; the manifest's digest comes back.
    async fn push(&self, name: &str, flags: &[&str]) -> String {
        let (file, to) = (guest(name), self.registry.reference(&format!("{name}:1")));
        let arguments = ["push", file.to_str().unwrap(), &to, "--json"];
        let said = self.skep(&[&arguments[..], flags].concat()).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        said.json()["digest"].as_str().unwrap().to_owned()
    }

    /// `skep deploy SERVICE oci:…/NAME:1`.
    async fn deploy(&self, service: &str, name: &str) -> Said {
        let from = format!("oci:{}", self.registry.reference(&format!("{name}:1")));
        let admin = format!("http://{}", self.host.admin);
        self.skep(&["deploy", service, &from, "--admin", &admin])
            .await
    }

    /// A file with this signature.
    fn file(&self, signature: &str) -> String {
        let file = self.folder.path().join("component.sig");
        fs::write(&file, signature).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn an_image_that_cosign_signed_is_taken_and_no_other() {
    let scene = Scene::new().await;
    let theirs = Signer::new();
    let (hello, echo) = (
        scene.push("hello", &[]).await,
        scene.push("echo", &[]).await,
    );
    let said = scene.deploy("a", "hello").await;
    said.assert_refused(1, &["it is not signed"]);

    let (own, other) = (payload(&hello), payload(&echo));
    let sign = |text: &str| scene.ours.sign_bytes(text.as_bytes());
    let unknown = "by none of the [trust] keys";
    for (signed, why) in [
        ((&own, theirs.sign_bytes(own.as_bytes())), unknown),
        ((&own, sign(&other)), unknown),
        ((&own, "nonsense".to_owned()), unknown),
        // All of it is good, but it is another image's.
        ((&other, sign(&other)), "signed another image"),
    ] {
        scene.registry.cosign("hello", &hello, &[signed]).await;
        scene
            .deploy("a", "hello")
            .await
            .assert_refused(1, &["error: ", why]);
    }

    let signatures = [
        (&own, sign(&own)),
        (&own, theirs.sign_bytes(own.as_bytes())),
    ];
    scene.registry.cosign("hello", &hello, &signatures).await;
    let said = scene.deploy("a", "hello").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(scene.host.get("/a").await.status(), 200);

    // What was vouched for is known, also by the next host.
    let host = scene.host.stop().await.start().await;
    assert_eq!(host.get("/a").await.status(), 200);
    let same = host.ask(put("same", &[], guest("hello"))).await;
    assert_eq!(same.status(), 200, "{}", same.text());
    host.stop().await;
}

#[tokio::test]
async fn good_evidence_of_another_component_is_worth_nothing() {
    let scene = Scene::new().await;
    let echo = scene.push("echo", &[]).await;
    let manifest = fs::read(scene.registry.file(&echo)).unwrap();
    let own = payload(&echo);
    let evidence = |manifest: &[u8]| {
        let signature = scene.ours.sign_bytes(own.as_bytes());
        let signed = json!({"payload": STANDARD.encode(&own), "signature": signature});
        json!({"manifest": STANDARD.encode(manifest), "signatures": [signed]}).to_string()
    };
    // A manifest that names the component, but is not the one that is signed.
    let text = String::from_utf8(manifest.clone()).unwrap();
    let changed = text.replace("echo", "hello").into_bytes();
    for (manifest, component, why) in [
        (&manifest, "hello", "is not this component and nothing else"),
        (&changed, "echo", "signed another image"),
    ] {
        let evidence = evidence(manifest);
        let sent = put("a", &[("signature", &evidence)], guest(component));
        let answer = scene.host.ask(sent).await;
        assert_eq!(answer.status(), 422);
        assert!(answer.text().contains(why), "{}", answer.text());
    }
    let evidence = evidence(&manifest);
    let sent = put("a", &[("signature", &evidence)], guest("echo"));
    assert_eq!(scene.host.ask(sent).await.status(), 200);
    scene.host.stop().await;
}

#[tokio::test]
async fn a_signature_that_was_pushed_with_the_component_is_picked_up() {
    let scene = Scene::new().await;
    let (hello, echo) = (guest("hello"), guest("echo"));
    let wrong = scene.file(&Signer::new().sign(&hello));
    scene.push("hello", &["--signature", &wrong]).await;
    let said = scene.deploy("a", "hello").await;
    said.assert_refused(1, &["by none of the [trust] keys"]);

    // One that is given comes first.
    let right = scene.file(&scene.ours.sign(&hello));
    let admin = format!("http://{}", scene.host.admin);
    let from = format!("oci:{}", scene.registry.reference("hello:1"));
    let flags = ["--signature", &right, "--admin", &admin];
    let said = scene
        .skep(&[&["deploy", "a", &from][..], &flags].concat())
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");

    let signature = scene.file(&scene.ours.sign(&echo));
    scene.push("echo", &["--signature", &signature]).await;
    let from = format!("oci:{}", scene.registry.reference("echo:1"));
    let bundle = format!("[[service]]\nname = \"b\"\ncomponent = \"{from}\"\n");
    fs::write(scene.folder.path().join("bundle.toml"), bundle).unwrap();
    let said = scene
        .skep(&["deploy", "-f", "bundle.toml", "--admin", &admin])
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(scene.host.get("/b").await.status(), 200);
    let said = scene
        .skep(&[
            "push",
            echo.to_str().unwrap(),
            "127.0.0.1:1/a:1",
            "--signature",
            "none",
        ])
        .await;
    said.assert_refused(1, &["none: can't be read"]);
    scene.host.stop().await;
}
