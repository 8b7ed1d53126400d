use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::config;
use crate::deploy::compile::Artifact;
use crate::telemetry::chain;

mod ran;

/// Events of one service that are kept.
const EVENTS_OF_SERVICE: usize = 500;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    (folder, state)
}

fn revision(service: &str, number: u64) -> StoredRevision {
    let wasm = PathBuf::from(format!("/services/{service}.wasm"));
    let config = config::service::without_manifest(&wasm).unwrap();
    StoredRevision {
        number,
        digest: Digest::of(format!("{service} {number}").as_bytes()),
        origin: Origin::files(&config),
        config,
    }
}

fn row(service: &str, current: Option<u64>, last_number: u64) -> StoredService {
    StoredService {
        current,
        last_number,
        generation: last_number,
        ..StoredService::new(service.parse().unwrap())
    }
}

/// A new revision answers; `kept` stay beside the live ones.
fn promotion(service: &str, number: u64, kept: usize) -> Commit {
    let revision = revision(service, number);
    let digest = revision.digest.to_string();
    let origin = revision.origin.clone();
    let happening = Happening::new(service, Kind::Promoted).of(number, &digest);
    Commit {
        revisions: vec![(service.parse().unwrap(), revision)],
        services: vec![(row(service, Some(number), number), kept)],
        happenings: vec![happening.by(&origin).because("a test")],
    }
}

/// What opening the folder fails with.
fn refusal(state: &Path) -> StateError {
    match State::open(state) {
        Ok(_) => panic!("{} is taken", state.display()),
        Err(error) => error,
    }
}

fn database(state: &Path) -> PathBuf {
    state.join("skep.db")
}

/// A folder that a host has used and left, with one service in it.
async fn used() -> (TempDir, PathBuf) {
    let (folder, path) = folder();
    let state = State::open(&path).unwrap();
    state.commit(promotion("a", 1, 10)).await.unwrap();
    drop(state);
    (folder, path)
}

#[tokio::test]
async fn what_is_committed_is_there_when_the_folder_is_opened_again() {
    let (_folder, path) = folder();
    let state = State::open(&path).unwrap();
    let mut told = state.follow();
    let mut commit = promotion("a", 3, 10);
    commit.services[0].0.rollout = Some(StoredRollout {
        candidate: 4,
        saved: "{\"step\":1}".to_owned(),
    });
    commit.services[0].0.files = Some(Digest::of(b"files"));
    let row = commit.services[0].0.clone();
    commit
        .revisions
        .push(("a".parse().unwrap(), revision("a", 4)));
    state.commit(commit).await.unwrap();
    let event = told.recv().await.unwrap();
    assert_eq!((event.id, event.kind), (Some(1), Kind::Promoted));
    assert_eq!(event.detail.as_deref(), Some("a test"));
    drop(state);

    let state = State::open(&path).unwrap();
    assert_eq!(state.services().await.unwrap(), [row]);
    assert_eq!(state.kept("a").await.unwrap(), [4, 3]);
    assert_eq!(state.ran("a").await.unwrap(), [3], "the other is on trial");
    for number in [3, 4] {
        let found = state.revision("a", number).await.unwrap();
        assert_eq!(found, Some(revision("a", number)));
    }
    assert_eq!(state.revision("a", 5).await.unwrap(), None);
    assert_eq!(state.revision("b", 3).await.unwrap(), None);
    let events = state.events(None, None, 10).await.unwrap();
    assert_eq!(events, [(*event).clone()]);
}

#[tokio::test]
async fn a_commit_of_which_a_part_fails_changes_nothing() {
    let (_folder, path) = used().await;
    let foreign = Connection::open(database(&path)).unwrap();
    let refuses = "CREATE TRIGGER refuses BEFORE INSERT ON events WHEN NEW.service = 'a'
                   BEGIN SELECT RAISE(ABORT, 'refused'); END";
    foreign.execute_batch(refuses).unwrap();
    drop(foreign);
    let state = State::open(&path).unwrap();
    let before = state.services().await.unwrap();
    let mut told = state.follow();
    state.commit(promotion("a", 2, 10)).await.unwrap_err();
    assert_eq!(state.services().await.unwrap(), before);
    assert_eq!(state.kept("a").await.unwrap(), [1]);
    assert!(told.try_recv().is_err(), "nothing is told of it");
    // What comes next is not held up by it.
    state.commit(promotion("b", 1, 10)).await.unwrap();
}

#[tokio::test]
async fn the_live_revisions_and_the_newest_others_are_kept() {
    let (_folder, path) = folder();
    let state = State::open(&path).unwrap();
    for number in 1..=6 {
        state.commit(promotion("a", number, 10)).await.unwrap();
    }
    state.commit(promotion("b", 1, 0)).await.unwrap();

    // Rolled back to 2, with 5 on its way: both live, however old they are.
    let mut row = row("a", Some(2), 6);
    row.rollout = Some(StoredRollout {
        candidate: 5,
        saved: String::new(),
    });
    let prune = |kept| Commit {
        services: vec![(row.clone(), kept)],
        ..Commit::default()
    };
    state.commit(prune(2)).await.unwrap();
    assert_eq!(state.kept("a").await.unwrap(), [6, 5, 4, 2]);
    state.commit(prune(0)).await.unwrap();
    assert_eq!(state.kept("a").await.unwrap(), [5, 2]);
    assert_eq!(state.kept("b").await.unwrap(), [1], "another service's");

    let removed = StoredService {
        current: None,
        rollout: None,
        ..row.clone()
    };
    let commit = Commit {
        services: vec![(removed, 0)],
        ..Commit::default()
    };
    state.commit(commit).await.unwrap();
    assert!(state.kept("a").await.unwrap().is_empty());
    let rows = state.services().await.unwrap();
    assert_eq!(rows[0].last_number, 6, "numbers are never used again");
}

#[tokio::test]
async fn a_noisy_service_does_not_push_out_the_events_of_others() {
    let (_folder, path) = folder();
    let state = State::open(&path).unwrap();
    let happens = |service: &str, times: usize| Commit {
        happenings: vec![Happening::new(service, Kind::Refused); times],
        ..Commit::default()
    };
    state.commit(happens("quiet", 1)).await.unwrap();
    let noise = happens("noisy", EVENTS_OF_SERVICE + 100);
    state.commit(noise).await.unwrap();
    let of = async |service: &str| {
        let all = state.events(Some(service.to_owned()), None, u32::MAX);
        all.await.unwrap()
    };
    let noisy = of("noisy").await;
    assert_eq!(noisy.len(), EVENTS_OF_SERVICE);
    assert!(noisy.is_sorted_by(|one, next| one.id > next.id));
    assert_eq!(of("quiet").await.len(), 1);
    // By id: the newest that come after it, the newest first.
    let ids = |events: Vec<Event>| -> Vec<_> { events.iter().map(|event| event.id).collect() };
    let newest = noisy[0].id;
    let after = state.events(None, noisy[3].id, 2).await.unwrap();
    assert_eq!(ids(after), [newest, noisy[1].id]);
    assert!(state.events(None, newest, 2).await.unwrap().is_empty());
}

#[tokio::test]
async fn artifacts_are_kept_while_a_revision_or_somebody_needs_them() {
    let (folder, path) = folder();
    let state = State::open(&path).unwrap();
    let artifact = |text: &str| {
        let path = folder.path().join(text);
        fs::write(&path, text).unwrap();
        let digest = Digest::of(text.as_bytes());
        Artifact { digest, path }
    };
    let (used, held, unused) = (artifact("a 1"), artifact("held"), artifact("unused"));
    for artifact in [&used, &held, &unused] {
        state.artifacts.keep(artifact).unwrap();
        assert!(state.artifacts.has(&artifact.digest));
    }
    let text = fs::read_to_string(state.artifacts.path(&used.digest)).unwrap();
    assert_eq!(text, "a 1");
    assert_eq!(
        used.digest,
        revision("a", 1).digest,
        "it is the revision's artifact"
    );
    state.commit(promotion("a", 1, 0)).await.unwrap();
    let guards = [held.digest; 2].map(|digest| state.artifacts.hold(digest));
    assert_eq!(state.collect().await.unwrap(), [unused.digest]);
    assert!(!state.artifacts.has(&unused.digest));

    let [first, second] = guards;
    drop(first);
    assert!(state.collect().await.unwrap().is_empty());
    drop(second);
    assert_eq!(state.collect().await.unwrap(), [held.digest]);
    assert!(state.artifacts.has(&used.digest));
    state.commit(promotion("a", 2, 0)).await.unwrap();
    assert_eq!(state.collect().await.unwrap(), [used.digest]);
}

#[test]
fn only_what_has_the_digest_is_kept_and_damage_is_mended() {
    let (folder, path) = folder();
    let state = State::open(&path).unwrap();
    let source = folder.path().join("a.wasm");
    fs::write(&source, "as it was looked at").unwrap();
    let artifact = Artifact {
        digest: Digest::of(b"as it was looked at"),
        path: source.clone(),
    };
    fs::write(&source, "changed meanwhile").unwrap();
    let error = state.artifacts.keep(&artifact).unwrap_err();
    assert!(matches!(error, ArtifactError::Changed { .. }), "{error}");
    assert!(!state.artifacts.has(&artifact.digest));
    let files = || fs::read_dir(path.join("artifacts")).unwrap().count();
    assert_eq!(files(), 0, "nothing is left of it");

    fs::write(&source, "as it was looked at").unwrap();
    state.artifacts.keep(&artifact).unwrap();
    let kept = state.artifacts.path(&artifact.digest);
    fs::write(&kept, "as it was l").unwrap();
    state.artifacts.keep(&artifact).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), b"as it was looked at");

    // A sound one needs no source.
    fs::remove_file(&source).unwrap();
    state.artifacts.keep(&artifact).unwrap();
    fs::remove_file(&kept).unwrap();
    let error = state.artifacts.keep(&artifact).unwrap_err();
    assert!(matches!(error, ArtifactError::Unreadable { .. }), "{error}");
    assert_eq!(files(), 0);
}

#[test]
fn what_a_killed_host_left_half_written_is_swept() {
    let (_folder, path) = folder();
    drop(State::open(&path).unwrap());
    let half = path.join("artifacts/.tmp-7");
    fs::write(&half, "half").unwrap();
    let state = State::open(&path).unwrap();
    assert!(!half.exists());
    // Also where the next one would be put.
    let mut incoming = state.artifacts.incoming().unwrap();
    incoming.write(b"whole").unwrap();
    let (digest, held) = incoming.finish(None).unwrap();
    assert_eq!(digest, Digest::of(b"whole"));
    assert!(state.artifacts.has(&digest));
    drop(held);
}

#[test]
fn a_second_host_is_told_who_has_the_folder() {
    let (_folder, path) = folder();
    let first = State::open(&path).unwrap();
    let error = refusal(&path);
    let StateError::Busy { pid, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*pid, Some(std::process::id()));
    let text = error.to_string();
    let process = format!("(process {})", std::process::id());
    assert!(
        text.contains(&process) && text.contains("--state"),
        "{text}"
    );
    drop(first);
    State::open(&path).unwrap();
}

#[tokio::test]
async fn a_killed_first_start_does_no_harm() {
    let (_folder, path) = folder();
    fs::create_dir(&path).unwrap();
    fs::write(path.join(".tmp-skep.db"), "half of a database").unwrap();
    let state = State::open(&path).unwrap();
    state.commit(promotion("a", 1, 10)).await.unwrap();
    assert!(!path.join(".tmp-skep.db").exists());
}

#[tokio::test]
async fn what_is_left_of_a_database_that_was_moved_away_is_not_taken_for_the_new_one_s() {
    let (_folder, path) = folder();
    let state = State::open(&path).unwrap();
    state.commit(promotion("a", 1, 10)).await.unwrap();
    // As a killed host leaves it: with the last commits in the log only.
    let log = fs::read(path.join("skep.db-wal")).unwrap();
    assert!(!log.is_empty());
    drop(state);
    fs::write(path.join("skep.db-wal"), log).unwrap();
    fs::remove_file(database(&path)).unwrap();
    let state = State::open(&path).unwrap();
    assert!(state.services().await.unwrap().is_empty());
    assert!(state.kept("a").await.unwrap().is_empty());
    state.settle().await.unwrap();
    let log = fs::metadata(path.join("skep.db-wal")).unwrap();
    assert_eq!(log.len(), 0, "the database is one file");
}

#[tokio::test]
async fn a_database_of_something_else_is_left_alone() {
    let (_folder, path) = folder();
    fs::create_dir(&path).unwrap();
    let other = Connection::open(database(&path)).unwrap();
    let theirs = "CREATE TABLE theirs (text TEXT); INSERT INTO theirs VALUES ('theirs')";
    other.execute_batch(theirs).unwrap();
    drop(other);
    let before = fs::read(database(&path)).unwrap();
    let error = refusal(&path);
    assert!(matches!(error, StateError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("move it away"), "{error}");
    assert_eq!(fs::read(database(&path)).unwrap(), before);
}

#[tokio::test]
async fn a_newer_format_is_left_to_the_newer_version() {
    let (_folder, path) = used().await;
    let newer = Connection::open(database(&path)).unwrap();
    newer.pragma_update(None, "user_version", 7).unwrap();
    drop(newer);
    let error = refusal(&path);
    assert!(
        matches!(error, StateError::Newer { found: 7, .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("format 7") && text.contains("newer"),
        "{text}"
    );
}

#[tokio::test]
async fn a_damaged_database_is_told_with_what_to_do_and_not_touched() {
    let (_folder, path) = used().await;
    let whole = fs::read(database(&path)).unwrap();
    let mut scrambled = whole.clone();
    for byte in &mut scrambled[4096..] {
        *byte ^= 0x5a;
    }
    let damages: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("truncated", whole[..whole.len() / 2].to_vec()),
        ("garbage", b"no database at all ".repeat(1000)),
        ("scrambled", scrambled),
    ];
    for (what, damage) in damages {
        fs::write(database(&path), &damage).unwrap();
        let error = refusal(&path);
        assert!(
            matches!(error, StateError::Damaged { .. }),
            "{what}: {error:?}"
        );
        let text = chain(&error);
        assert!(text.contains("skep.db is damaged"), "{what}: {text}");
        assert!(text.contains("move it away"), "{what}: {text}");
        assert!(fs::read(database(&path)).unwrap() == damage, "{what}");
    }
    fs::write(database(&path), &whole).unwrap();
    let state = State::open(&path).unwrap();
    assert_eq!(state.kept("a").await.unwrap(), [1]);
}

#[tokio::test]
async fn a_record_that_makes_no_sense_spoils_its_own_service_only() {
    let (_folder, path) = used().await;
    let database = Connection::open(database(&path)).unwrap();
    let spoil = "UPDATE revisions SET config = '{\"name\": 1}' WHERE service = 'a'";
    database.execute_batch(spoil).unwrap();
    drop(database);
    let state = State::open(&path).unwrap();
    state.commit(promotion("b", 1, 10)).await.unwrap();
    let error = state.revision("a", 1).await.unwrap_err();
    assert!(matches!(error, StateError::Record { .. }), "{error:?}");
    assert!(error.to_string().contains("revision 1 of a"), "{error}");
    assert!(state.revision("b", 1).await.unwrap().is_some());
    assert_eq!(state.services().await.unwrap().len(), 2);
}

#[tokio::test]
async fn events_keep_their_order_when_the_clock_is_set_back() {
    let (_folder, path) = used().await;
    let database = Connection::open(database(&path)).unwrap();
    // As if it had been 2100 then.
    let future = "UPDATE events SET at_unix_ms = 4102444800000";
    database.execute_batch(future).unwrap();
    drop(database);
    let state = State::open(&path).unwrap();
    state.commit(promotion("a", 2, 10)).await.unwrap();
    let events = state.events(None, None, 10).await.unwrap();
    let revisions: Vec<_> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [Some(2), Some(1)], "newest first, by id");
    assert!(events[0].at_unix_ms < events[1].at_unix_ms);
    let after = state.events(None, events[1].id, 10).await.unwrap();
    assert_eq!(after.len(), 1);
}
