//! What can be wrong with the state folder: it is said, nothing that runs is stopped by it, and nothing is overwritten.
//! (The compile cache: `cache.rs`.)

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::support::operator::{digest_of, put};
use crate::support::setup::{Setup, mounts_work};
use crate::support::verb::{Said, run};
use crate::support::version::Version;
use crate::support::wait::{until, within};
use crate::support::{Host, fault, guest};

const ONE: Version = Version(1);
const TWO: Version = Version(2);
const THREE: Version = Version(3);
/// A state folder that holds a few components.
const SMALL: &str = "mkdir -p \"$STATE\"; mount -t tmpfs -o size=4m,mode=700 none \"$STATE\"";
/// As it was, but on a disk that is full.
const FULL: &str = "cp -a \"$STATE\" \"$STATE.away\"
    mount -t tmpfs -o size=1m,mode=700 none \"$STATE\"
    cp -a \"$STATE.away/.\" \"$STATE\"
    cat /dev/zero >\"$STATE/fill\" 2>/dev/null || true";
const FULL_AND_EMPTY: &str = "mkdir -p \"$STATE\"
    mount -t tmpfs -o size=16k,mode=700 none \"$STATE\"
    cat /dev/zero >\"$STATE/fill\" 2>/dev/null || true";
const READ_ONLY: &str = "mount --bind \"$STATE\" \"$STATE\"; mount -o remount,bind,ro \"$STATE\"";

/// Starts a host that must refuse to; each of these is in what it says.
async fn refused(setup: &Setup, parts: &[&str]) {
    let mut command: Command = setup.command();
    command.kill_on_drop(true);
    let said: Said = run(command).await;
    said.assert_refused(1, parts);
    assert!(said.error.contains("error: "), "{said:?}");
    assert_eq!(said.output, "", "it says that it listens only when it does");
}

/// Takes all that is left of the disk that a file lies on.
fn fill(file: &Path) {
    let options = OpenOptions::new().create(true).append(true).open(file);
    let mut file = options.unwrap();
    for bytes in [64 << 10, 1] {
        while file.write_all(&vec![0; bytes]).is_ok() {}
    }
}

#[tokio::test]
async fn a_second_host_on_the_same_state_is_refused_and_the_first_goes_on() {
    let host = Host::empty().version("a", ONE).start().await;
    let process = format!("is in use by another host (process {})", host.id());
    refused(&host, &[&process, "--state"]).await;
    assert_eq!(host.version_of("a").await, ONE);
    host.deploy_version("a", TWO);
    host.promoted("a", 2).await;
    let setup = host.kill().await;
    // A host that was killed leaves nothing that keeps the next one out.
    setup.start().await.stop().await;
}

#[tokio::test]
async fn a_state_folder_that_can_t_be_written_is_told_at_the_start() {
    if !mounts_work().await {
        return;
    }
    let setup = Host::empty().version("a", ONE).start().await.stop().await;
    let state = setup.state().display().to_string();
    let setup = setup.mounting(READ_ONLY);
    refused(&setup, &[&state, "Read-only file system"]).await;
    // Nor where it is to be made.
    let setup = Host::empty().mounting(
        "mkdir \"$STATE.parent\"; mount -t tmpfs -o ro none \"${STATE%/*}/incoming\"; ln -s incoming/state \"$STATE\"",
    );
    refused(&setup, &["--state"]).await;
}

#[tokio::test]
async fn a_disk_that_fills_up_stops_nothing_that_runs() {
    if !mounts_work().await {
        return;
    }
    let host = Host::empty()
        .version("a", ONE)
        .version("b", ONE)
        .mounting(SMALL)
        .start()
        .await;
    let filler = host.inside(host.state()).join("fill");
    fill(&filler);
    host.deploy_version("a", TWO);
    host.refused_with("a", "is the disk full").await;
    // Nor can it be written down that something is gone: then it is not.
    host.remove("b.wasm");
    let what = "that b could not be removed";
    host.log_line(what, |line| {
        line.message() == "services could not be removed"
    })
    .await;
    for name in ["a", "b"] {
        assert_eq!(host.version_of(name).await, ONE);
        assert_eq!(host.service(name).await.revision, Some(1));
    }

    fs::remove_file(&filler).unwrap();
    host.deploy_version("a", THREE);
    until("the next version", async || {
        (host.version_of("a").await == THREE).then_some(())
    })
    .await;
    assert_eq!(host.service("a").await.error, None);
    host.gone("/b").await;

    // What was refused has another try when it is asked for.
    fill(&filler);
    host.deploy_version("c", TWO);
    host.refused_with("c", "is the disk full").await;
    fs::remove_file(&filler).unwrap();
    host.signal(Signal::HUP);
    host.healed("c").await;
    assert_eq!(host.version_of("c").await, TWO);
    host.stop().await;
}

#[tokio::test]
async fn a_rollback_that_can_t_be_written_down_is_answered_so() {
    if !mounts_work().await {
        return;
    }
    let host = Host::empty().mounting(SMALL).start().await;
    for wasm in ["hello", "echo"] {
        assert_eq!(host.send("a", guest(wasm), "").await.status(), 200);
    }
    let filler = host.inside(host.state()).join("fill");
    fill(&filler);
    let rollback = async || host.tell("/v1/services/a/rollback", &Value::Null).await;
    // The revision is linked still: what fails is the writing.
    let refused = within("the answer to the rollback", rollback()).await;
    assert_eq!(refused.status(), 507, "{}", refused.text());
    assert!(refused.text().contains("is the disk full"), "{refused:?}");
    assert_eq!(host.service("a").await.revision, Some(2));

    fs::remove_file(&filler).unwrap();
    let done = rollback().await;
    assert_eq!(done.status(), 200, "{}", done.text());
    assert_eq!(host.service("a").await.revision, Some(1));
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_starts_on_a_full_disk_serves_what_there_is() {
    if !mounts_work().await {
        return;
    }
    let setup = Host::empty().version("a", ONE).start().await.stop().await;
    let host = setup.mounting(FULL).start().await;
    assert_eq!(host.version_of("a").await, ONE);
    assert_eq!(host.service("a").await.revision, Some(1));
    host.deploy_version("a", TWO);
    host.refused_with("a", "is the disk full").await;
    assert_eq!(host.version_of("a").await, ONE);
    host.stop().await;
    // Where there is nothing yet, nothing can be begun.
    let setup = Host::empty().version("a", ONE).mounting(FULL_AND_EMPTY);
    refused(&setup, &["is the disk full"]).await;
}

#[tokio::test]
async fn a_damaged_database_is_told_and_moving_it_away_starts_from_the_files() {
    let host = Host::empty().version("a", ONE).start().await;
    host.deploy_version("a", TWO);
    host.promoted("a", 2).await;
    let mut setup = host.stop().await;
    let database = setup.state().join("skep.db");
    let whole = fs::read(&database).unwrap();
    let damages = [
        whole[..whole.len() / 2].to_vec(),
        b"garbage ".repeat(2000),
        Vec::new(),
    ];
    for damage in damages {
        fs::write(&database, &damage).unwrap();
        refused(&setup, &["skep.db is damaged", "move it away"]).await;
        assert!(
            fs::read(&database).unwrap() == damage,
            "it is left as it is"
        );
    }
    fs::rename(&database, setup.path().join("away.db")).unwrap();
    let host = setup.start().await;
    assert_eq!(host.version_of("a").await, TWO);
    assert_eq!(host.service("a").await.revision, Some(1));
    // The artifact of the revision that nobody remembers is gone, too.
    let needed = [TWO.digest()].into();
    until("what nobody needs to be deleted", async || {
        (host.artifacts() == needed).then_some(())
    })
    .await;
    setup = host.stop().await;

    // A backup is put back.
    fs::write(&database, &whole).unwrap();
    let host = setup.start().await;
    assert_eq!(host.service("a").await.revision, Some(2));
    host.stop().await;
}

#[tokio::test]
async fn a_lost_artifact_is_its_own_service_s_trouble() {
    let setup = Host::empty()
        .version("a", ONE)
        .version("b", TWO)
        .version("c", THREE)
        .cold();
    let setup = setup.start().await.stop().await;
    let lose = |version: Version| {
        let hex = version.digest().replace("sha256:", "");
        fs::remove_file(setup.state().join(format!("artifacts/{hex}.wasm"))).unwrap();
        hex
    };
    // Of a the artifact only, of b its image as well; and no files are left that either could be had from.
    lose(ONE);
    let lost = lose(TWO);
    for entry in fs::read_dir(setup.path().join("cache")).unwrap() {
        let path = entry.unwrap().path();
        if path.display().to_string().contains(&lost) {
            fs::remove_file(path).unwrap();
        }
    }
    for name in ["a", "b"] {
        setup.put(&format!("{name}.wasm"), "no component");
    }
    let host = setup.start().await;
    for name in ["a", "b"] {
        let what = format!("why {name} is not resumed");
        let line = host
            .log_line(&what, |line| line.says("deployment refused", name))
            .await;
        let error = line.field("error");
        assert!(error.contains("/artifacts/"), "{error}");
        // Its file is looked at only then.
        until(&format!("{name} to have failed"), async || {
            (host.service(name).await.state == "failed").then_some(())
        })
        .await;
    }
    assert_eq!(host.version_of("c").await, THREE);
    assert_eq!(host.service("c").await.revision, Some(1));

    // Whoever brings it again has it served again, under a number of its own.
    host.deploy_version("a", ONE);
    host.promoted("a", 2).await;
    assert_eq!(host.version_of("a").await, ONE);
    let setup = host.stop().await;
    let host = setup.start().await;
    assert_eq!(host.version_of("a").await, ONE);
    assert_eq!(host.service("a").await.revision, Some(2));
    host.stop().await;
}

#[tokio::test]
async fn what_does_not_run_keeps_its_configuration_when_its_component_is_sent_again() {
    let host = Host::empty().start().await;
    let config = "[[route]]\npath = '/greet'\n";
    assert_eq!(host.send("a", guest("hello"), config).await.status(), 200);
    let setup = host.kill().await;
    let hex = digest_of(guest("hello")).replace("sha256:", "");
    fs::remove_file(setup.state().join(format!("artifacts/{hex}.wasm"))).unwrap();

    let host = setup.start().await;
    assert_eq!(host.get("/greet").await.status(), 503);
    // Meanwhile another service has its path: nothing of it is left but what is written down.
    assert_eq!(host.send("b", guest("echo"), config).await.status(), 200);
    let again = host.ask(put("a", &[], guest("hello"))).await;
    assert_eq!(again.status(), 422, "{}", again.text());
    assert!(again.text().contains("/greet"), "{}", again.text());
    assert_eq!(host.delete("/v1/services/b").await.status(), 200);
    let again = host.ask(put("a", &[], guest("hello"))).await;
    assert_eq!(again.json()["services"][0]["revision"], 2, "{again:?}");
    assert_eq!(host.get("/greet").await.status(), 200);
    host.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_delays_nothing() {
    let mut setup = Host::empty().version("a", ONE).start().await.stop().await;
    // As if it had been 2100 when that ran, and then 1970: of what is dated nothing is waited for.
    for (index, at) in [4_102_444_800_000_u64, 0].into_iter().enumerate() {
        let database = rusqlite::Connection::open(setup.state().join("skep.db")).unwrap();
        let events = database.execute("UPDATE events SET at_unix_ms = ?", [at]);
        assert!(events.unwrap() > 0);
        drop(database);
        let host = setup.start().await;
        let number = index as u64 + 2;
        host.deploy_version("a", Version(number as u16));
        host.promoted("a", number).await;
        setup = host.kill().await;
    }
    let database = rusqlite::Connection::open(setup.state().join("skep.db")).unwrap();
    let sql = "SELECT revision FROM events WHERE kind = 'promoted' ORDER BY id";
    let mut promoted = database.prepare(sql).unwrap();
    let numbers = promoted.query_map([], |row| row.get::<_, u64>(0)).unwrap();
    let numbers: Vec<u64> = numbers.map(Result::unwrap).collect();
    assert_eq!(numbers, [1, 2, 3], "in the order in which it happened");
}

#[tokio::test]
async fn a_refused_candidate_leaves_no_artifact() {
    let host = Host::with("good", guest("hello"))
        .manifest("bad", "[limits]\ncpu = \"100ms\"\n")
        .start()
        .await;
    let before = host.artifacts();
    // It is found out only when it is started.
    host.deploy("bad", fault("endless_start"));
    host.refused("bad").await;
    until("nothing to be left of it", async || {
        (host.artifacts() == before).then_some(())
    })
    .await;
    host.stop().await;
}
