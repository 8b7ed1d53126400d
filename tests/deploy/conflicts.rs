//! Two services that claim the same: the one that was there keeps it, both are named, and the other one comes up when
//! the first lets go.

use crate::support::load::{Load, whole_200};
use crate::support::{Host, probe};

/// Requests a second.
const RATE: u32 = 100;

const SHARED: &str = "[[route]]\npath = \"/shared\"\n";

/// A manifest with this route.
fn route(path: &str) -> String {
    format!("[[route]]\npath = \"/{path}\"\n")
}

#[tokio::test]
async fn the_second_claim_to_a_route_is_refused_until_the_first_is_gone() {
    let host = Host::with("first", probe("revision_a"))
        .manifest("first", SHARED)
        .start()
        .await;
    host.put("second.toml", SHARED);
    host.deploy("second", probe("revision_b"));
    let line = host.refused_with("second", "/shared").await;
    for name in ["first", "second"] {
        let named = format!("service {name}");
        assert!(line.field("error").contains(&named), "{}", line.text());
    }
    assert_eq!(host.service("second").await.state, "failed");
    assert_eq!(host.revision_at("/shared").await, "a");

    host.remove("first.toml");
    host.remove("first.wasm");
    host.promoted("second", 1).await;
    assert_eq!(host.revision_at("/shared").await, "b");
    host.healed("second").await;
    host.stop().await;
}

#[tokio::test]
async fn a_running_service_that_claims_anothers_route_runs_on_and_gets_it_when_it_is_free() {
    let host = Host::with("first", probe("revision_a"))
        .manifest("first", SHARED)
        .and("second", probe("revision_b"))
        .start()
        .await;
    host.put("second.toml", SHARED);
    host.refused_with("second", "/shared").await;
    let second = host.service("second").await;
    assert_eq!((&*second.state, second.revision), ("ready", Some(1)));
    assert_eq!(host.revision_at("/second").await, "b");
    // The first moves on to a route of its own: a new revision, not a removal.
    host.put("first.toml", "[[route]]\npath = \"/own\"\n");
    host.promoted("second", 2).await;
    assert_eq!(host.revision_at("/shared").await, "b");
    assert_eq!(host.revision_at("/own").await, "a");
    host.healed("second").await;
    host.stop().await;
}

#[tokio::test]
async fn services_that_exchange_routes_do_so_in_one_snapshot() {
    let host = Host::with("first", probe("revision_a"))
        .manifest("first", &route("x"))
        .and("second", probe("revision_b"))
        .manifest("second", &route("y"))
        .start()
        .await;
    let load = Load::steady(host.gateway, "/x", RATE, whole_200);
    for (revision, [first, second]) in [(2, ["y", "x"]), (3, ["x", "y"])] {
        // One edit after the other: the first waits for the second.
        host.put("first.toml", route(first));
        host.refused_with("first", "service second").await;
        host.put("second.toml", route(second));
        host.promoted("first", revision).await;
        host.promoted("second", revision).await;
        assert_eq!(host.revision_at(&format!("/{first}")).await, "a");
        assert_eq!(host.revision_at(&format!("/{second}")).await, "b");
    }
    // There was no moment without a service at either path.
    assert_eq!(load.stop().errors, Vec::<String>::new());
    host.stop().await;
}

#[tokio::test]
async fn at_the_start_the_first_by_name_has_the_route() {
    let host = Host::with("b", probe("revision_b"))
        .and("a", probe("revision_a"))
        .manifest("b", SHARED)
        .manifest("a", SHARED)
        .start()
        .await;
    host.refused_with("b", "/shared").await;
    assert_eq!(host.revision_at("/shared").await, "a");
    host.stop().await;
}

#[tokio::test]
async fn of_two_files_that_say_they_are_the_same_service_none_is_taken() {
    let host = Host::with("a", probe("revision_a")).start().await;
    host.put("b.toml", "name = \"a\"\n");
    host.deploy("b", probe("revision_b"));
    let line = host.refused_with("a", "claim to be service a").await;
    for file in ["a.wasm", "b.toml"] {
        assert!(line.field("error").contains(file), "{}", line.text());
    }
    // What runs goes on running.
    assert_eq!(host.revision_at("/a").await, "a");
    host.remove("a.wasm");
    host.promoted("a", 2).await;
    assert_eq!(host.revision_at("/a").await, "b");
    host.healed("a").await;
    host.stop().await;
}

#[tokio::test]
async fn a_service_that_never_came_up_keeps_no_route_from_another() {
    let host = Host::with("last", probe("revision_b"))
        .manifest("last", &route("y"))
        .start()
        .await;
    host.put("first.toml", route("x"));
    host.put("first.wasm", "This is not a component.\n");
    host.refused_with("first", "not WebAssembly").await;
    let waits = host.get("/x").await;
    assert_eq!(
        waits.status(),
        503,
        "its callers are told to come back: {waits:?}"
    );
    host.put("second.toml", route("x"));
    host.deploy("second", probe("revision_a"));
    host.promoted("second", 1).await;
    assert_eq!(host.revision_at("/x").await, "a");
    host.stop().await;
}
