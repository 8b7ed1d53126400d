//! What is found in folders, lists and single files, and what is said of what is wrong there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;
use crate::config::Overrides;
use crate::deploy::compile::Digest;

const WASM: &[u8] = b"\0asm\x0d\0\x01\0";
const OTHER_WASM: &[u8] = b"\0asm\x0d\0\x01\0\x00\x02\x01x";
const CUT_WASM: &[u8] = b"\0asm\x0d\0\x01\0\x00\x05\x01x";

struct Place {
    root: tempfile::TempDir,
    scanner: Option<Scanner>,
}

impl Place {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            scanner: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn remove(&self, name: &str) -> &Self {
        fs::remove_file(self.path(name)).unwrap();
        self
    }

    /// A look at a source when everything in it has been at rest for an hour.
    fn look(&mut self, source: &str) -> Scan {
        self.look_at(source, an_hour_on())
    }

    fn look_at(&mut self, source: &str, now: Now) -> Scan {
        let scanner = self.scanner.take().unwrap_or_else(|| self.scanner(source));
        self.scanner.insert(scanner).scan(now)
    }

    fn scanner(&self, source: &str) -> Scanner {
        let (config, _) = host::load(Some(&self.path(source)), Overrides::default()).unwrap();
        Scanner::new(Intake::of(&config), Pace::default())
    }
}

fn an_hour_on() -> Now {
    let now = Now::get();
    Now {
        wall: now.wall + Duration::from_hours(1),
        ..now
    }
}

fn digest<'a>(scan: &'a Scan, name: &str) -> &'a Digest {
    match &scan.services[name] {
        Found::Ready(candidate) => &candidate.artifact.digest,
        other => panic!("{name} is {other:?}"),
    }
}

fn complaint(scan: &Scan, name: &str) -> String {
    match &scan.services[name] {
        Found::Broken(error) => error.to_string(),
        other => panic!("{name} is {other:?}"),
    }
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.services.keys().map(String::as_str).collect()
}

#[test]
fn a_folder_of_drop_ins_is_understood() {
    let mut place = Place::new();
    place
        .put("s/hello.wasm", WASM)
        .put("s/named.wasm", OTHER_WASM)
        .put("s/named.toml", "name = \"inventory\"");
    place
        .put("s/shop/service.toml", "component = \"impl.wasm\"")
        .put("s/shop/impl.wasm", WASM);
    place
        .put("s/pair.toml", "component = \"implementation.wasm\"")
        .put("s/implementation.wasm", WASM);
    place
        .put("s/README.md", "")
        .put("s/half.wasm.part", "")
        .put("s/.hidden.wasm", "")
        .put("s/empty/x", "");
    let scan = place.look("s");
    assert_eq!(names(&scan), ["hello", "inventory", "pair", "shop"]);
    assert_eq!(*digest(&scan, "hello"), Digest::of(WASM));
    assert_eq!(*digest(&scan, "inventory"), Digest::of(OTHER_WASM));
    assert_eq!(*digest(&scan, "shop"), Digest::of(WASM));
    assert!(!scan.is_waiting() && !scan.is_partial);
}

#[test]
fn what_is_wrong_is_said_of_the_service_it_is_wrong_with() {
    let mut place = Place::new();
    place.put("s/good.wasm", WASM);
    place.put("s/Bad_Name.wasm", WASM);
    place.put("s/lonely.toml", "");
    place
        .put("s/typo.wasm", WASM)
        .put("s/typo.toml", "nmae = \"x\"");
    place.put("s/dir.wasm/x", "");
    place.put("s/empty.wasm", "").put("s/cut.wasm", CUT_WASM);
    place
        .put("s/twice.wasm", WASM)
        .put("s/twice/service.toml", "component = \"a.wasm\"")
        .put("s/twice/a.wasm", WASM);
    symlink("nowhere", place.path("s/dangling.wasm")).unwrap();
    let fifo = place.path("s/fifo.wasm");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let scan = place.look("s");
    for (name, words) in [
        ("Bad_Name", "rename the file"),
        ("lonely", "lonely.wasm\" does not exist"),
        ("typo", "typo.toml:1: unknown key \"nmae\""),
        ("dir", "is a directory"),
        ("fifo", "is a named pipe"),
        ("empty", "is empty: is it still being copied?"),
        ("cut", "ends in the middle of section 1"),
        ("dangling", "symbolic link"),
        ("twice", "/s/twice/service.toml and "),
        ("twice", "/s/twice.wasm claim to be service twice"),
    ] {
        let complaint = complaint(&scan, name);
        assert!(complaint.contains(words), "{name}: {complaint}");
    }
    assert_eq!(*digest(&scan, "good"), Digest::of(WASM));
}

#[test]
fn a_file_that_just_changed_is_awaited_and_taken_once_it_rests() {
    let mut place = Place::new();
    place.put("s/new.wasm", WASM).put("s/cut.wasm", CUT_WASM);
    // On this clock the files are from the future, so that their age is what the scanner saw of them.
    let wall = SystemTime::UNIX_EPOCH;
    let steady = Now::get().steady;
    let mut after = |millis| {
        place.look_at(
            "s",
            Now {
                wall,
                steady: steady + Duration::from_millis(millis),
            },
        )
    };
    assert!(matches!(after(0).services["new"], Found::Waiting));
    assert!(matches!(after(99).services["new"], Found::Waiting));
    let rested = after(100);
    assert_eq!(*digest(&rested, "new"), Digest::of(WASM));
    assert!(matches!(rested.services["cut"], Found::Waiting) && rested.is_waiting());
    assert!(complaint(&after(2_000), "cut").contains("section 1"));
}

#[test]
fn a_broken_manifest_is_the_fault_of_the_service_it_described() {
    let mut place = Place::new();
    place
        .put("s/file.wasm", WASM)
        .put("s/file.toml", "name = \"inventory\"");
    assert_eq!(names(&place.look("s")), ["inventory"]);
    place.put("s/file.toml", "name = ");
    let scan = place.look("s");
    assert_eq!(names(&scan), ["inventory"]);
    assert!(complaint(&scan, "inventory").contains("file.toml:1"));
    place.remove("s/file.toml");
    assert_eq!(names(&place.look("s")), ["file"]);
}

#[test]
fn content_decides_and_is_read_again_only_after_a_change() {
    let mut place = Place::new();
    place.put("s/a.wasm", WASM);
    assert_eq!(*digest(&place.look("s"), "a"), Digest::of(WASM));
    let modified = fs::metadata(place.path("s/a.wasm"))
        .unwrap()
        .modified()
        .unwrap();
    place.put("s/b.wasm.tmp", OTHER_WASM);
    fs::rename(place.path("s/b.wasm.tmp"), place.path("s/a.wasm")).unwrap();
    fs::File::options()
        .write(true)
        .open(place.path("s/a.wasm"))
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(*digest(&place.look("s"), "a"), Digest::of(OTHER_WASM));
}

#[test]
fn a_flipped_symlink_is_another_content() {
    let mut place = Place::new();
    place
        .put("s/..v1/a.wasm", WASM)
        .put("s/..v2/a.wasm", OTHER_WASM);
    symlink("..v1", place.path("s/..data")).unwrap();
    symlink("..data/a.wasm", place.path("s/a.wasm")).unwrap();
    assert_eq!(*digest(&place.look("s"), "a"), Digest::of(WASM));
    symlink("..v2", place.path("s/..data_tmp")).unwrap();
    fs::rename(place.path("s/..data_tmp"), place.path("s/..data")).unwrap();
    let scan = place.look("s");
    assert_eq!(*digest(&scan, "a"), Digest::of(OTHER_WASM));
    assert_eq!(names(&scan), ["a"]);
}

#[test]
fn a_missing_folder_says_nothing_about_its_services() {
    let mut place = Place::new();
    place.put("s/a.wasm", WASM);
    assert_eq!(names(&place.look("s")), ["a"]);
    fs::rename(place.path("s"), place.path("t")).unwrap();
    let scan = place.look("s");
    assert!(scan.is_partial);
    assert_eq!(scan.faults.len(), 1);
}

#[test]
fn a_list_is_understood_beside_a_folder() {
    let mut place = Place::new();
    place
        .put("a.wasm", WASM)
        .put("s/b.wasm", WASM)
        .put("s/c.wasm", WASM)
        .put("c.wasm", WASM);
    let list = "services = \"s\"\n[[service]]\ncomponent = \"a.wasm\"\n[[service]]\ncomponent = \"c.wasm\"\n\
                [[service]]\nname = \"d\"\ncomponent = \"missing.wasm\"\n";
    place.put("skep.toml", list);
    let scan = place.look("skep.toml");
    assert_eq!(names(&scan), ["a", "b", "c", "d"]);
    assert!(complaint(&scan, "c").contains("skep.toml and "));
    assert!(complaint(&scan, "d").contains("missing.wasm"));
    assert_eq!(*digest(&scan, "a"), Digest::of(WASM));
}

#[test]
fn a_list_that_cannot_be_read_says_nothing_about_its_services() {
    let mut place = Place::new();
    place
        .put("a.wasm", WASM)
        .put("skep.toml", "[[service]]\ncomponent = \"a.wasm\"\n");
    assert_eq!(names(&place.look("skep.toml")), ["a"]);
    place.put("skep.toml", "[[service]\n");
    let scan = place.look("skep.toml");
    assert!(scan.is_partial && scan.services.is_empty());
    place.remove("skep.toml");
    assert!(place.look("skep.toml").is_partial);
}

#[test]
fn a_single_file_is_served_at_every_path() {
    let mut place = Place::new();
    place.put("hello.wasm", WASM);
    let scan = place.look("hello.wasm");
    let Found::Ready(candidate) = &scan.services["hello"] else {
        panic!("{scan:?}")
    };
    assert_eq!(
        candidate.config.routes,
        skep_policy::routes::RouteSpec::all()
    );
    place.remove("hello.wasm");
    let scan = place.look("hello.wasm");
    assert!(scan.services.is_empty() && !scan.is_partial);
}

#[test]
fn an_unreadable_file_is_said_to_be() {
    let mut place = Place::new();
    place.put("s/a.wasm", WASM);
    fs::set_permissions(place.path("s/a.wasm"), fs::Permissions::from_mode(0o0)).unwrap();
    let scan = place.look("s");
    // The superuser can read it all the same.
    if !rustix::process::geteuid().is_root() {
        assert!(complaint(&scan, "a").contains("can't be read"));
    }
}
