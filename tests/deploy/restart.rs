//! After kill -9, what ran runs again: the same revisions, under the same numbers, whatever became of the files meanwhile.

use std::collections::BTreeSet;
use std::fs;

use crate::support::service::Service;
use crate::support::version::Version;
use crate::support::wait::until;
use crate::support::{Host, probe};

const ONE: Version = Version(1);
const TWO: Version = Version(2);
const THREE: Version = Version(3);

fn standing(service: &Service) -> (Option<u64>, Option<String>) {
    (service.revision, service.digest.clone())
}

#[tokio::test]
async fn what_ran_runs_again_under_its_number() {
    let host = Host::empty()
        .version("a", ONE)
        .version("b", ONE)
        .manifest("b", "[env]\nREVISION = \"1\"\n[limits]\nconcurrency = 7\n")
        .version("d", ONE)
        .start()
        .await;
    host.deploy_version("a", TWO);
    host.promoted("a", 2).await;
    host.deploy_version("a", THREE);
    host.promoted("a", 3).await;
    host.remove("d.wasm");
    host.gone("/d").await;
    let before = host.services().await;
    let setup = host.kill().await;

    let host = setup.start().await;
    let after = host.services().await;
    let standings = |services: &[Service]| services.iter().map(standing).collect::<Vec<_>>();
    assert_eq!(standings(&after), standings(&before));
    assert_eq!(standing(&after[0]), (Some(3), Some(THREE.digest())));
    assert_eq!(host.version_of("a").await, THREE);
    assert_eq!(host.version_of("b").await, ONE);
    assert_eq!(host.get("/d").await.status(), 404);
    // Resumed, not deployed anew.
    let begun = host.log.all(|line| line.message() == "deployment begins");
    assert!(begun.is_empty(), "{begun:?}");
    // What comes next goes on from there: numbers are never given twice.
    host.deploy_version("a", ONE);
    host.promoted("a", 4).await;
    host.deploy_version("d", TWO);
    host.promoted("d", 2).await;
    host.stop().await;
}

#[tokio::test]
async fn files_that_changed_while_the_host_was_down_are_followed() {
    let setup = Host::empty()
        .version("stays", ONE)
        .version("goes", ONE)
        .version("changes", ONE)
        .version("breaks", ONE)
        .manifest("manifest", "[env]\nREVISION = \"1\"\n")
        .version("manifest", ONE);
    let setup = setup.start().await.kill().await;
    setup.remove("goes.wasm");
    setup.deploy_version("changes", TWO);
    setup.put("breaks.wasm", "no component");
    setup.put("manifest.toml", "rubbish");
    setup.deploy_version("comes", THREE);

    let host = setup.start().await;
    host.gone("/goes").await;
    assert!(!host.names().await.contains(&"goes".to_owned()));
    // The old revision answers until the new one takes its place.
    assert_eq!(
        host.promoted("changes", 1).await.field("digest"),
        ONE.digest()
    );
    assert_eq!(
        host.promoted("changes", 2).await.field("digest"),
        TWO.digest()
    );
    assert_eq!(host.version_of("changes").await, TWO);
    assert_eq!(host.version_of("comes").await, THREE);
    for name in ["stays", "breaks", "manifest"] {
        assert_eq!(host.version_of(name).await, ONE);
        assert_eq!(host.service(name).await.revision, Some(1));
    }
    assert_eq!(host.service("stays").await.error, None);
    for name in ["breaks", "manifest"] {
        let service = host.service(name).await;
        assert_eq!(service.state, "ready");
        assert!(service.error.is_some(), "{service:?}");
    }
    let setup = host.kill().await;

    // Mended, it is what it was.
    setup.deploy_version("breaks", ONE);
    let host = setup.start().await;
    assert_eq!(host.version_of("breaks").await, ONE);
    let service = host.service("breaks").await;
    assert_eq!((service.revision, service.error), (Some(1), None));
    host.stop().await;
}

#[tokio::test]
async fn what_an_operator_removed_stays_so_until_its_files_change() {
    let host = Host::empty().version("a", ONE).start().await;
    assert_eq!(host.delete("/v1/services/a").await.status(), 200);
    assert_eq!(host.get("/a").await.status(), 404);
    let setup = host.kill().await;

    let host = setup.start().await;
    host.looked("marker").await;
    assert_eq!(host.get("/a").await.status(), 404);
    assert!(!host.names().await.contains(&"a".to_owned()));
    host.deploy_version("a", TWO);
    host.promoted("a", 2).await;
    assert_eq!(host.version_of("a").await, TWO);
    host.stop().await;
}

#[tokio::test]
async fn old_revisions_are_forgotten_with_their_artifacts() {
    let host = Host::empty()
        .version("a", Version(0))
        .version("same", Version(1))
        .settings("revision_history_limit = 2\n")
        .start()
        .await;
    for number in 1..=5 {
        host.deploy_version("a", Version(number));
        host.promoted("a", u64::from(number) + 1).await;
    }
    // The running one, two before it, and what the other service has as well.
    let needed: BTreeSet<String> = [5, 4, 3, 1].map(|number| Version(number).digest()).into();
    let settled = async |host: &Host, what: &str, needed: &BTreeSet<String>| {
        until(what, async || (host.artifacts() == *needed).then_some(())).await;
    };
    settled(&host, "old artifacts to be deleted", &needed).await;
    let setup = host.kill().await;
    let host = setup.start().await;
    assert_eq!(host.version_of("a").await, Version(5));
    settled(&host, "the same after a restart", &needed).await;
    host.remove("a.wasm");
    host.gone("/a").await;
    let needed = [Version(1).digest()].into();
    settled(&host, "those of a removed service to be deleted", &needed).await;
    host.stop().await;
}

#[tokio::test]
async fn a_cache_that_is_lost_costs_time_and_nothing_else() {
    let setup = Host::with("a", probe("revision_a")).cold();
    let setup = setup.start().await.kill().await;
    fs::remove_dir_all(setup.path().join("cache")).unwrap();
    setup.remove("a.wasm");
    setup.put("a.wasm", "no component");
    let host = setup.start().await;
    // From the state folder: the file would not do.
    assert_eq!(host.promoted("a", 1).await.field("cached"), "false");
    assert_eq!(host.revision_at("/a").await, "a");
    host.stop().await;
}
