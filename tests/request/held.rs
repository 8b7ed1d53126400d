//! The memory that a service's instances hold, as operators see it.

use http::Request;

use crate::support::client::streamed;
use crate::support::verb::skep;
use crate::support::wait::until;
use crate::support::{Host, guest, probe};

const PAGE: u64 = 64 << 10;
const PAGES: u64 = 256;

/// Grows its memory, tries to grow it by more than it may have, and reads its request before it answers.
fn grower() -> Vec<u8> {
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read"
                (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2 300)
            (data (i32.const 64) "content-type: text/plain\n\ngrown\n")
            (func (export "_start")
                (drop (memory.grow (i32.const {PAGES})))
                (drop (memory.grow (i32.const {PAGES})))
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 8))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.store (i32.const 0) (i32.const 64))
                (i32.store (i32.const 4) (i32.const 32))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    );
    wat::parse_str(text).unwrap()
}

/// What the API and the metrics say that the service holds, in bytes.
async fn held(host: &Host) -> (u64, f64) {
    let services = host.admin("/v1/services").await.json();
    let labels = [("service", "a")];
    let metric = host.metric("skep_guest_memory_bytes", &labels).await;
    let listed = services["services"][0]["memory_bytes"].as_u64();
    (listed.unwrap(), metric.unwrap())
}

async fn until_nothing_is_held(host: &Host) {
    until("its memory to be given back", async || {
        (held(host).await == (0, 0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn memory_is_a_services_while_its_instances_live() {
    let host = Host::empty().component("a", &grower()).start().await;
    assert_eq!(held(&host).await, (0, 0.0), "the probe is gone");
    let (upload, body) = streamed();
    let request = Request::post("/a").body(body).unwrap();
    let (answer, ()) = futures::join!(host.request(request), async {
        let bytes = until("a memory that has grown", async || {
            let (bytes, _) = held(&host).await;
            (bytes >= PAGES * PAGE).then_some(bytes)
        })
        .await;
        assert!(
            bytes < (PAGES + 16) * PAGE,
            "{bytes} is more than there can be"
        );
        let url = format!("http://{}", host.admin);
        let top = ["top", "--once", "--interval", "100ms", "--admin", &url];
        let said = skep(top).await;
        let mebibytes = format!("  {}.", bytes >> 20);
        assert!(said.output.contains(" MEMORY  "), "{said:?}");
        assert!(said.output.contains(&mebibytes), "{said:?}");
        assert!(said.output.contains("MiB  "), "{said:?}");
        drop(upload);
    });
    assert_eq!(answer.text(), "grown\n", "{answer:?}");
    until_nothing_is_held(&host).await;
    host.stop().await;
}

#[tokio::test]
async fn what_an_idle_instance_holds_is_seen_until_its_revision_is_gone() {
    let host = Host::with("a", probe("counter_p3")).start().await;
    assert_eq!(host.get("/a").await.status(), 200);
    let (bytes, metric) = held(&host).await;
    assert!(bytes >= PAGE && metric > 0.0, "{bytes} {metric}");
    host.deploy("a", guest("hello"));
    host.promoted("a", 2).await;
    until_nothing_is_held(&host).await;
    host.stop().await;
}
