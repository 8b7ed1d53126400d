//! Services that are no component: they appear, change, go and come back as any other, and a component takes their place
//! and gives it back.

use std::fs;

use http::Request;
use serde_json::json;

use crate::support::client::full;
use crate::support::rollouts::with_id;
use crate::support::upstream::Upstream;
use crate::support::verb::skep;
use crate::support::wait::until;
use crate::support::{Host, guest, probe};

const PATH: &str = "/a?lines=1";
const CANARY: &str = "[rollout]\nstrategy = \"canary\"\nsteps = [{ weight = 50 }]\n";

fn manifest(upstream: &Upstream) -> String {
    format!("upstream = \"{}\"\n", upstream.url())
}

#[tokio::test]
async fn a_manifest_is_a_service_its_url_a_revision_and_without_it_there_is_none() {
    let (one, two) = (Upstream::saying("one").await, Upstream::saying("two").await);
    let host = Host::with("b", guest("hello")).start().await;
    host.put("a.toml", manifest(&one));
    host.promoted("a", 1).await;
    assert_eq!(host.get("/a").await.text(), "one");
    host.put("a.toml", manifest(&two));
    host.promoted("a", 2).await;
    assert_eq!(host.get("/a").await.text(), "two");
    let retired = "the first revision to be retired";
    host.log_line(retired, |line| line.says("revision retired", "a"))
        .await;
    let said = skep(["ls", "--admin", &format!("http://{}", host.admin)]).await;
    assert!(said.output.contains("upstream"), "{said:?}");
    host.put("a.toml", "upstream = \"ftp://a\"\n");
    let refused = host.refused("a").await;
    assert!(
        refused.field("error").contains("is neither http nor https"),
        "{refused:?}"
    );
    assert_eq!(host.get("/a").await.text(), "two");
    host.remove("a.toml");
    until("the service to be gone", async || {
        (host.get("/a").await.status() == 404).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_component_takes_a_servers_place_by_and_by_and_gives_it_back() {
    let upstream = Upstream::saying("elsewhere").await;
    let host = Host::empty()
        .manifest("a", &manifest(&upstream))
        .start()
        .await;
    // The manifest first: it names no component that is there yet.
    host.deploy("a", probe("revision_a"));
    host.put("a.toml", CANARY);
    host.rollout_begun("a").await;
    let mut connection = host.connect().await;
    let (mut elsewhere, mut here) = (0, 0);
    for id in 0..100 {
        match connection.send(with_id(PATH, id)).await.text() {
            "elsewhere" => elsewhere += 1,
            _ => here += 1,
        }
    }
    assert!(elsewhere > 20 && here > 20, "{elsewhere} {here}");
    let promoted = host
        .tell("/v1/services/a/promote", &json!({"full": true}))
        .await;
    assert_eq!(promoted.status(), 200, "{promoted:?}");
    let asked = upstream.asked();
    assert_ne!(host.get(PATH).await.text(), "elsewhere");
    assert_eq!(upstream.asked(), asked);

    let back = host.tell("/v1/services/a/rollback", &json!({})).await;
    assert_eq!(back.status(), 200, "{back:?}");
    assert_eq!(host.get(PATH).await.text(), "elsewhere");
    let again = host
        .tell("/v1/services/a/rollback", &json!({"to": 2}))
        .await;
    assert_eq!(again.status(), 200, "{again:?}");
    assert_ne!(host.get(PATH).await.text(), "elsewhere");

    host.put("a.toml", format!("{}{CANARY}", manifest(&upstream)));
    host.nth_line("a second rollout", 2, |line| {
        line.says("rollout begun", "a")
    })
    .await;
    let promoted = host
        .tell("/v1/services/a/promote", &json!({"full": true}))
        .await;
    assert_eq!(promoted.status(), 200, "{promoted:?}");
    assert_eq!(host.get(PATH).await.text(), "elsewhere");
    until("what the component held to be given back", async || {
        let detail = host.admin("/v1/services/a").await.json();
        (detail["instances"]["claims_in_use"] == 0).then_some(())
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn requests_of_a_component_finish_when_a_server_takes_its_place() {
    let upstream = Upstream::saying("elsewhere").await;
    let host = Host::with("a", probe("sleep_ms"))
        .settings("[pool]\ninstances = 2\n")
        .manifest("a", "[limits]\nconcurrency = 4\n")
        .start()
        .await;
    let mut under_way = Vec::new();
    for _ in 0..4 {
        under_way.push(host.begin("/a?ms=500").await);
    }
    host.works_on("a", 4).await;
    host.put("a.toml", manifest(&upstream));
    host.promoted("a", 2).await;
    assert_eq!(host.get("/a").await.text(), "elsewhere");
    for one in under_way {
        let answer = one.finish().await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn after_kill_9_servers_and_folders_are_as_they_were() {
    let upstream = Upstream::saying("elsewhere").await;
    let host = Host::empty()
        .manifest("a", &manifest(&upstream))
        .manifest("site", "files = \"public\"\n");
    fs::create_dir(host.services().join("public")).unwrap();
    fs::write(host.services().join("public/x"), "file").unwrap();
    let host = host.start().await;
    host.put(
        "a.toml",
        format!("{}preserve_host = true\n", manifest(&upstream)),
    );
    host.promoted("a", 2).await;
    let before = host.services().await;
    let host = host.kill().await.start().await;
    let after = host.services().await;
    let standing = |services: &[crate::support::service::Service]| {
        let each = services.iter();
        each.map(|service| (service.revision, service.digest.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(standing(&after), standing(&before));
    assert_eq!(after[0].revision, Some(2));
    assert_eq!(host.get("/a").await.text(), "elsewhere");
    assert_eq!(host.get("/site/x").await.text(), "file");
    let begun = host.log.all(|line| line.message() == "deployment begins");
    assert!(begun.is_empty(), "{begun:?}");
    let back = host.tell("/v1/services/a/rollback", &json!({})).await;
    assert_eq!(back.status(), 200, "{back:?}");
    host.stop().await;
}

#[tokio::test]
async fn a_server_is_sent_by_its_manifest_alone_and_a_folder_is_not() {
    let upstream = Upstream::saying("elsewhere").await;
    let host = Host::empty().start().await;
    let send = async |config: &str| {
        let body = json!({"config": config}).to_string();
        let request = Request::put("/v1/services/a").header("content-type", "application/json");
        host.ask(request.body(full(body)).unwrap()).await
    };
    for (config, what) in [
        ("files = \"/etc\"\n", "files"),
        (
            "upstream = \"https://a\"\nupstream_ca = \"/etc/passwd\"\n",
            "upstream_ca",
        ),
        ("[limits]\nqueue = 1\n", "there is no component"),
        ("upstream = \"http://a\"\n[env]\nA = \"1\"\n", "env"),
    ] {
        let refused = send(config).await;
        assert_eq!(refused.status(), 422, "{refused:?}");
        assert!(refused.text().contains(what), "{refused:?}");
    }
    let sent = send(&manifest(&upstream)).await;
    assert_eq!(sent.status(), 200, "{sent:?}");
    assert_eq!(host.get("/a").await.text(), "elsewhere");
    // A component that is sent without a manifest takes over what there is of one.
    let component = host.upload(probe("revision_a")).await;
    let body = json!({"artifact": component}).to_string();
    let request = Request::put("/v1/services/a").header("content-type", "application/json");
    let sent = host.ask(request.body(full(body)).unwrap()).await;
    assert_eq!(sent.status(), 200, "{sent:?}");
    assert_ne!(host.get(PATH).await.text(), "elsewhere");
    let host = host.kill().await.start().await;
    let back = host.tell("/v1/services/a/rollback", &json!({})).await;
    assert_eq!(back.status(), 200, "{back:?}");
    assert_eq!(host.get("/a").await.text(), "elsewhere");
    host.stop().await;
}

#[tokio::test]
async fn check_says_what_a_host_would() {
    let folder = Host::empty()
        .manifest("good", "upstream = [\"http://a:1\", \"https://b/base\"]\n")
        .manifest("site", "files = \"public\"\n")
        .manifest("bad", "upstream = \"http://a\"\n[instances]\nreuse = 2\n");
    fs::create_dir(folder.services().join("public")).unwrap();
    let services = folder.services();
    let said = skep(["check", services.to_str().unwrap()]).await;
    said.assert_refused(
        1,
        &[
            "good",
            "upstream",
            "site",
            "files",
            "bad.toml:2: instances: is for a component",
        ],
    );
}
