//! A component that can't be served is refused with a reason; the old revision serves; the next sound file clears it.

use std::fs;

use crate::support::{Host, guest, probe};

/// A component around nothing that has these interfaces.
fn component(import: Option<&str>, export: &str) -> Vec<u8> {
    let import = import.map_or(String::new(), |import| {
        format!("(import \"{import}\" (instance))")
    });
    let text = format!("(component {import} (instance $i) (export \"{export}\" (instance $i)))");
    wat::parse_str(text).unwrap()
}

fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = fs::read(probe("revision_b")).unwrap();
    let handler = "wasi:http/incoming-handler@0.2.3";
    vec![
        (
            "text",
            b"This is not a component.\n".to_vec(),
            "not WebAssembly",
        ),
        (
            "cut",
            whole[..whole.len() / 2].to_vec(),
            "ends in the middle of section",
        ),
        (
            "library",
            wat::parse_str("(module (func (export \"add\")))").unwrap(),
            "a core module that exports add but no _start",
        ),
        (
            "foreign",
            wat::parse_str("(module (import \"env\" \"f\" (func)) (func (export \"_start\")))")
                .unwrap(),
            "env.f",
        ),
        (
            "imports",
            component(Some("wasi:keyvalue/store@0.2.0"), handler),
            "imports wasi:keyvalue/store@0.2.0, which Skep does not offer",
        ),
        (
            "no-handler",
            component(None, "acme:shop/stock@1.0.0"),
            "exports acme:shop/stock@1.0.0",
        ),
        ("hollow", component(None, handler), "handle"),
        (
            "invalid",
            wat::parse_str("(module (func (export \"_start\") (result i32)))").unwrap(),
            "this core module can't be made into a component",
        ),
    ]
}

#[tokio::test]
async fn a_broken_component_leaves_the_old_revision_and_its_error_goes_when_it_is_mended() {
    let host = Host::with("a", probe("revision_a"))
        .and("b", guest("hello"))
        .start()
        .await;
    let mut revision = 1;
    for (name, bytes, error) in broken() {
        host.put("a.wasm", &bytes);
        host.refused_with("a", error).await;
        let service = host.service("a").await;
        assert_eq!(
            (&*service.state, service.revision),
            ("ready", Some(revision)),
            "{name}"
        );
        assert_eq!(host.get("/a?lines=1").await.status(), 200, "{name}");
        assert_eq!(host.get("/b").await.status(), 200, "{name}");
        let next = host.service("a").await.revision.unwrap();
        // Every other time what ran before, which is no new revision.
        host.deploy(
            "a",
            probe(if name.len() % 2 == 0 {
                "revision_a"
            } else {
                "revision_b"
            }),
        );
        host.healed("a").await;
        revision = host.service("a").await.revision.unwrap();
        assert!(revision >= next);
    }
    host.stop().await;
}

#[tokio::test]
async fn a_component_that_was_never_sound_is_failed_and_named() {
    let mut setup = Host::with("good", guest("hello"));
    for (name, bytes, _) in broken() {
        setup = setup.component(name, &bytes);
    }
    // It is ready all the same: a bad file is no reason for the good ones not to be served.
    let host = setup.start().await;
    assert_eq!(host.get("/good").await.status(), 200);
    for (name, _, error) in broken() {
        host.refused_with(name, error).await;
        let service = host.service(name).await;
        assert_eq!(
            (&*service.state, service.revision),
            ("failed", None),
            "{name}"
        );
        let status = host.get(&format!("/{name}")).await.status();
        assert!(status == 503 || status == 404, "{name}: {status}");
        host.remove(&format!("{name}.wasm"));
    }
    for (name, ..) in broken() {
        host.gone(&format!("/{name}")).await;
    }
    assert_eq!(host.names().await, ["good"]);
    host.stop().await;
}

#[tokio::test]
async fn a_name_that_no_service_can_have_is_told() {
    let host = Host::with("Not_A_Name", guest("hello")).start().await;
    host.refused_with("Not_A_Name", "Not_A_Name").await;
    assert_eq!(host.service("Not_A_Name").await.state, "failed");
    host.stop().await;
}
