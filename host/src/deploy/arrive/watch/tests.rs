//! What the watcher tells of, driven by real files. The rescan is an hour away, so that only events wake it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::Change;
use super::*;
use crate::config::{Overrides, host};

const WASM: &[u8] = b"\0asm\x0d\0\x01\0";
const OTHER_WASM: &[u8] = b"\0asm\x0d\0\x01\0\x00\x02\x01x";
const CUT_WASM: &[u8] = b"\0asm\x0d\0\x01\0\x00\x05\x01x";

const PACE: Pace = Pace {
    complete: Duration::from_millis(1),
    quiet: Duration::from_millis(20),
    settle: Duration::from_millis(100),
    rescan: Duration::from_hours(1),
};

/// How long an event may take to be told of before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

struct Folder {
    root: tempfile::TempDir,
    watch: Watch,
    batches: mpsc::Receiver<Batch>,
}

impl Folder {
    /// A watched folder whose first batch, about what `fill` puts there, has been told of.
    async fn with(fill: impl FnOnce(&Path)) -> (Self, Vec<String>) {
        Self::watched(fill, PACE).await
    }

    async fn watched(fill: impl FnOnce(&Path), pace: Pace) -> (Self, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        let services = root.path().join("services");
        fs::create_dir(&services).unwrap();
        fill(&services);
        let (config, _) = host::load(Some(&services), Overrides::default()).unwrap();
        let (watch, batches) = Watch::start(Intake::of(&config), pace, Vec::new()).unwrap();
        let mut folder = Self {
            root,
            watch,
            batches,
        };
        let mut first = Vec::new();
        loop {
            let batch = folder.batch().await;
            first.extend(batch.changes.iter().map(told));
            if batch.settled {
                return (folder, first);
            }
        }
    }

    async fn empty() -> Self {
        let (folder, first) = Self::with(|_| {}).await;
        assert!(first.is_empty(), "{first:?}");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("services").join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    async fn batch(&mut self) -> Batch {
        tokio::time::timeout(PATIENCE, self.batches.recv())
            .await
            .expect("nothing is told")
            .expect("the watcher ended")
    }

    /// The changes told of next, as words.
    async fn told(&mut self) -> Vec<String> {
        loop {
            let batch = self.batch().await;
            if !batch.changes.is_empty() {
                return batch.changes.iter().map(told).collect();
            }
        }
    }
}

fn told(change: &Change) -> String {
    match change {
        Change::Upsert(candidate) => {
            let content = [("v1", WASM), ("v2", OTHER_WASM)]
                .into_iter()
                .find(|(_, bytes)| {
                    crate::deploy::compile::Digest::of(bytes) == candidate.artifact.digest
                })
                .map_or("other", |(word, _)| word);
            format!("{} is {content}", candidate.config.name)
        }
        Change::Remove(name) => format!("{name} is gone"),
        Change::Broken(name, _) => format!("{name} is broken"),
    }
}

#[tokio::test]
async fn what_is_there_at_the_start_is_told_of_also_if_it_is_nothing() {
    let (_folder, first) = Folder::with(|path| fs::write(path.join("a.wasm"), WASM).unwrap()).await;
    assert_eq!(first, ["a is v1"]);
    Folder::empty().await;
}

#[tokio::test]
async fn a_drop_in_is_told_of_when_it_comes_changes_breaks_mends_and_goes() {
    let mut folder = Folder::empty().await;
    folder.put("a.wasm", WASM);
    assert_eq!(folder.told().await, ["a is v1"]);
    folder.put("a.wasm", OTHER_WASM);
    assert_eq!(folder.told().await, ["a is v2"]);
    folder.put("a.wasm", CUT_WASM);
    assert_eq!(folder.told().await, ["a is broken"]);
    folder.put("a.wasm", OTHER_WASM);
    assert_eq!(folder.told().await, ["a is v2"]);
    fs::remove_file(folder.path("a.wasm")).unwrap();
    assert_eq!(folder.told().await, ["a is gone"]);
}

#[tokio::test]
async fn a_file_is_taken_as_soon_as_its_writer_is_done_and_no_sooner() {
    let pace = Pace {
        quiet: Duration::from_hours(1),
        settle: Duration::from_hours(2),
        ..PACE
    };
    let (mut folder, _) = Folder::watched(|_| {}, pace).await;
    let mut file = fs::File::create(folder.path("a.wasm")).unwrap();
    file.write_all(WASM).unwrap();
    // It comes later and is told of first.
    let beside = folder.root.path().join("b");
    fs::write(&beside, WASM).unwrap();
    fs::rename(&beside, folder.path("b.wasm")).unwrap();
    assert_eq!(folder.told().await, ["b is v1"]);
    file.write_all(&OTHER_WASM[WASM.len()..]).unwrap();
    drop(file);
    assert_eq!(folder.told().await, ["a is v2"]);
}

#[tokio::test]
async fn an_edited_manifest_is_a_change_and_a_broken_one_is_told_of() {
    let mut folder = Folder::empty().await;
    folder.put("a.wasm", WASM);
    folder.told().await;
    folder.put("a.toml", "[env]\nA = \"1\"\n");
    assert_eq!(folder.told().await, ["a is v1"]);
    folder.put("a.toml", "nonsense");
    assert_eq!(folder.told().await, ["a is broken"]);
    fs::remove_file(folder.path("a.toml")).unwrap();
    assert_eq!(folder.told().await, ["a is v1"]);
}

#[tokio::test]
async fn renames_within_the_folder_are_told_of_together() {
    let (mut folder, _) = Folder::with(|path| fs::write(path.join("a.wasm"), WASM).unwrap()).await;
    fs::rename(folder.path("a.wasm"), folder.path("b.wasm")).unwrap();
    let mut told = folder.told().await;
    // The new name's file may be at rest only a look later.
    if told.len() < 2 {
        told.extend(folder.told().await);
    }
    assert_eq!(told, ["a is gone", "b is v1"]);
}

#[tokio::test]
async fn a_new_folder_with_a_manifest_is_seen_and_what_happens_in_it() {
    let mut folder = Folder::empty().await;
    fs::create_dir(folder.path("shop")).unwrap();
    folder.put("shop/impl.wasm", WASM);
    folder.put("shop/service.toml", "component = \"impl.wasm\"");
    assert_eq!(folder.told().await, ["shop is v1"]);
    folder.put("shop/impl.wasm", OTHER_WASM);
    assert_eq!(folder.told().await, ["shop is v2"]);
}

#[tokio::test]
async fn a_flip_of_a_link_far_away_is_seen() {
    let (mut folder, first) = Folder::with(|services| {
        let root = services.parent().unwrap();
        for (release, content) in [("1", WASM), ("2", OTHER_WASM)] {
            let path = root.join("app").join(release);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("a.wasm"), content).unwrap();
        }
        symlink("1", root.join("app/current")).unwrap();
        symlink("../app/current/a.wasm", services.join("a.wasm")).unwrap();
    })
    .await;
    assert_eq!(first, ["a is v1"]);
    let app = folder.root.path().join("app");
    symlink("2", app.join("new")).unwrap();
    fs::rename(app.join("new"), app.join("current")).unwrap();
    assert_eq!(folder.told().await, ["a is v2"]);
}

#[tokio::test]
async fn a_folder_that_goes_away_keeps_its_services_and_is_seen_when_it_is_back() {
    let (mut folder, _) = Folder::with(|path| fs::write(path.join("a.wasm"), WASM).unwrap()).await;
    let services = folder.root.path().join("services");
    for content in [OTHER_WASM, WASM] {
        fs::remove_dir_all(&services).unwrap();
        fs::create_dir(&services).unwrap();
        folder.put("a.wasm", content);
        let told = folder.told().await;
        let (last, before) = told.split_last().unwrap();
        assert!(before.is_empty(), "{told:?}");
        assert!(last.starts_with("a is v"), "{told:?}");
    }
    // Still heard in the folder that took its place.
    folder.put("b.wasm", WASM);
    assert_eq!(folder.told().await, ["b is v1"]);
}

#[tokio::test]
async fn a_thousand_files_at_once_are_all_told_of() {
    let mut folder = Folder::empty().await;
    for number in 0..1_000 {
        folder.put(&format!("s{number}.wasm"), WASM);
    }
    let mut told = std::collections::BTreeSet::new();
    while told.len() < 1_000 {
        told.extend(folder.told().await);
    }
}

#[tokio::test]
async fn passing_files_and_reads_are_not_told_of() {
    let mut folder = Folder::empty().await;
    folder.put("a.wasm.tmp", WASM);
    folder.put(".b.wasm", WASM);
    fs::read(folder.path(".b.wasm")).unwrap();
    folder.put("c.wasm", WASM);
    assert_eq!(folder.told().await, ["c is v1"]);
}

#[tokio::test]
async fn a_rescan_can_be_asked_for_and_finds_what_no_event_told() {
    let (mut folder, _) = Folder::with(|_| {}).await;
    // As on a file system that tells of nothing.
    folder.watch.doorbell.listen_for(Directories::default());
    folder.put("a.wasm", WASM);
    folder.watch.rescan();
    assert_eq!(folder.told().await, ["a is v1"]);
}

#[tokio::test]
async fn without_events_changes_are_found_by_looking_every_second() {
    let root = tempfile::tempdir().unwrap();
    let (config, _) = host::load(Some(root.path()), Overrides::default()).unwrap();
    let (batches, mut receiver) = mpsc::channel(BATCHES_MAX);
    let doorbell = Arc::new(Doorbell::default());
    let events = Events {
        doorbell: Arc::clone(&doorbell),
        watcher: None,
        watched: HashMap::new(),
        is_polling: true,
    };
    let intake = Intake::of(&config);
    let thread = Thread {
        known: Vec::new(),
        intake,
        pace: PACE,
        doorbell: Arc::clone(&doorbell),
        events,
        batches,
    };
    let thread = thread::spawn(move || thread.run());
    assert!(receiver.recv().await.unwrap().changes.is_empty());
    fs::write(root.path().join("a.wasm"), WASM).unwrap();
    let batch = tokio::time::timeout(PATIENCE, receiver.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        batch.changes.iter().map(told).collect::<Vec<_>>(),
        ["a is v1"]
    );
    doorbell.stop();
    thread.join().unwrap();
}

#[tokio::test]
async fn the_thread_ends_when_either_half_is_dropped() {
    let mut folder = Folder::empty().await;
    drop(folder.watch);
    assert!(folder.batches.recv().await.is_none());
    let folder = Folder::empty().await;
    let doorbell = Arc::downgrade(&folder.watch.doorbell);
    drop(folder.batches);
    fs::write(folder.root.path().join("services/a.wasm"), WASM).unwrap();
    drop(folder.watch);
    let ended = async {
        while doorbell.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}
