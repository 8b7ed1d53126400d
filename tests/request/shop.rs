//! The example whose services need each other: what its drill says shoppers see.

use std::fs;
use std::time::Duration;

use tokio::process::Command;

use crate::support::Host;
use crate::support::guests::{guest, root};
use crate::support::setup::Setup;

/// The drill waits for breakers to close, several times.
const DRILL_MAX: Duration = Duration::from_secs(300);

/// The example as it is, in a folder of its own.
fn shop() -> Setup {
    let mut setup = Host::empty();
    for entry in fs::read_dir(root().join("examples/shop")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => setup = setup.manifest(name, &fs::read_to_string(&path).unwrap()),
            Some("wasm") => setup = setup.and(name, guest(&format!("shop/{name}"))),
            _ => {}
        }
    }
    setup
}

#[tokio::test]
async fn shoppers_notice_nothing_of_a_payment_that_fails_but_orders_that_are_paid_later() {
    let host = shop().alone().start().await;
    let drill = Command::new(root().join("examples/shop/drill.sh"))
        .arg(host.path().join("services"))
        .arg(format!("http://{}", host.gateway))
        .arg(format!("http://{}", host.admin))
        .kill_on_drop(true)
        .output();
    let drilled = tokio::time::timeout(DRILL_MAX, drill).await.unwrap();
    let drilled = drilled.unwrap();
    assert!(drilled.status.success(), "{drilled:#?}");
    assert_eq!(host.service("payment").await.state, "ready");
    host.stop().await;
}

#[tokio::test]
async fn the_page_has_a_stand_in_while_the_inventory_is_gone() {
    let host = shop().start().await;
    let page = host.get("/").await;
    assert!(
        page.text().contains("A basket for bees, 49.00: 2 left"),
        "{page:?}"
    );
    assert_eq!(host.get("/inventory").await.header("x-skep-fallback"), None);
    fs::remove_file(host.path().join("services/inventory.toml")).unwrap();
    fs::remove_file(host.path().join("services/inventory.wasm")).unwrap();
    host.log_line("that the inventory is gone", |line| {
        line.says("service removed", "inventory")
    })
    .await;
    let page = host.get("/").await;
    assert_eq!(page.header("x-skep-fallback"), Some("static"), "{page:?}");
    assert!(
        page.text().contains("We are counting our stock"),
        "{page:?}"
    );
    assert_eq!(host.service("storefront").await.state, "degraded");
    assert_eq!(host.get("/catalog").await.status(), 200);
    host.stop().await;
}
