use std::fs;

use super::*;
use crate::deploy::compile::fixture::{HANDLER_02, RUN_02, component};

fn wasm() -> Vec<u8> {
    component(&[], &[HANDLER_02])
}

struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn check(&self, names: &[&str]) -> (Vec<String>, Vec<String>) {
        let findings = check(&names.iter().map(|name| self.path(name)).collect::<Vec<_>>());
        let folder = format!("{}/", self.0.path().display());
        let problems = findings
            .problems
            .iter()
            .map(|problem| problem.line().replace(&folder, ""));
        (
            findings
                .services
                .into_iter()
                .map(|good| good.name)
                .collect(),
            problems.collect(),
        )
    }
}

#[test]
fn a_sound_folder_has_no_problems() {
    let files = Files::new(&[
        ("a.wasm", &wasm()),
        ("b.wasm", &wasm()),
        ("b.toml", b"[limits]\nmemory = \"1MiB\""),
    ]);
    assert_eq!(files.check(&[""]), (vec!["a".into(), "b".into()], vec![]));
    assert_eq!(
        files.check(&["a.wasm", "b.wasm"]),
        (vec!["a".into(), "b".into()], vec![])
    );
}

#[test]
fn a_broken_component_is_named_and_spoils_no_other() {
    let files = Files::new(&[
        ("good.wasm", &wasm()),
        ("text.wasm", b"hello"),
        ("cut.wasm", &wasm()[..20]),
    ]);
    let (good, problems) = files.check(&[""]);
    assert_eq!(good, ["good"]);
    assert!(
        problems[0].contains("cut.wasm: ends in the middle of section"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("text.wasm: this is a text file, not WebAssembly"),
        "{problems:?}"
    );
}

#[test]
fn a_bad_manifest_is_told_with_its_line() {
    let files = Files::new(&[
        ("a.wasm", &wasm()),
        ("a.toml", b"[limits]\nmemroy = \"1MiB\""),
    ]);
    let (good, problems) = files.check(&["a.wasm"]);
    assert!(good.is_empty());
    assert_eq!(
        problems,
        ["a.toml:2: unknown key \"memroy\" in limits: did you mean \"memory\"?"]
    );
}

#[test]
fn routes_that_conflict_across_files_are_found() {
    let route = b"[[route]]\npath = \"/shop/{*rest}\"".as_slice();
    let files = Files::new(&[
        ("a.wasm", &wasm()),
        ("a.toml", route),
        ("b.wasm", &wasm()),
        ("b.toml", route),
        ("c.wasm", &wasm()),
    ]);
    let (good, problems) = files.check(&["a.wasm", "b.toml", "c.wasm"]);
    assert_eq!(good, ["a", "c"]);
    assert!(
        problems[0].starts_with(
            "b.toml: service a route /shop/{*rest} and service b route /shop/{*rest} both take"
        ),
        "{problems:?}"
    );
}

#[test]
fn names_are_unique_within_a_host() {
    let manifest = b"name = \"a\"".as_slice();
    let files = Files::new(&[
        ("a.wasm", &wasm()),
        ("b.wasm", &wasm()),
        ("b.toml", manifest),
    ]);
    let (good, problems) = files.check(&[""]);
    assert!(good.is_empty());
    assert_eq!(
        problems,
        ["b.toml and a.wasm claim to be service a: remove one, or give it another name"]
    );
    let (good, problems) = files.check(&["a.wasm", "b.toml", "b.wasm"]);
    assert_eq!(good, ["a"]);
    assert!(
        problems[0].ends_with("a.wasm is a service a already: give one of them another name"),
        "{problems:?}"
    );
}

#[test]
fn what_a_kind_of_component_can_not_do_is_found() {
    let command = component(&[], &[RUN_02]);
    let reuse = b"[instances]\nreuse = 2".as_slice();
    let concurrency = b"[instances]\nreuse = 2\nconcurrency = 2".as_slice();
    let files = Files::new(&[
        ("a.wasm", &command),
        ("a.toml", reuse),
        ("b.wasm", &wasm()),
        ("b.toml", concurrency),
    ]);
    let (good, problems) = files.check(&[""]);
    assert!(good.is_empty());
    assert!(
        problems[0].starts_with("a.wasm: [instances] reuse is more than 1"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("b.wasm: [instances] concurrency is more than 1"),
        "{problems:?}"
    );
}

#[test]
fn a_hosts_file_is_known_by_what_it_says() {
    let list = b"[[service]]\ncomponent = \"a.wasm\"\n[[service]]\ncomponent = \"gone.wasm\"\n[pool]\ninstances = 1".as_slice();
    let files = Files::new(&[
        ("a.wasm", &wasm()),
        ("production.toml", list),
        ("skep.toml", b"listne = \"\""),
    ]);
    let (good, problems) = files.check(&["production.toml", "skep.toml"]);
    assert_eq!(good, ["a"]);
    assert!(
        problems[0].contains("component \"gone.wasm\" does not exist"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("skep.toml:1: unknown key \"listne\": did you mean \"listen\"?"),
        "{problems:?}"
    );
}

#[test]
fn more_services_than_instances_do_not_fit() {
    let files = Files::new(&[
        ("a.wasm", &wasm()),
        ("b.wasm", &wasm()),
        ("skep.toml", b"services = \".\"\n[pool]\ninstances = 1"),
    ]);
    let (_, problems) = files.check(&["skep.toml"]);
    assert!(
        problems[0].contains("2 services can't share a pool of 1 instances"),
        "{problems:?}"
    );
}

#[test]
fn what_is_not_there_is_a_problem() {
    let files = Files::new(&[]);
    let (_, problems) = files.check(&["nowhere.wasm", "nowhere.toml", "skep.toml"]);
    assert_eq!(problems.len(), 3);
    assert!(
        problems[0].starts_with("skep.toml: does not exist"),
        "{problems:?}"
    );
}

#[test]
fn the_report_is_aligned() {
    let good = |name: &str, kind: &str| Good {
        name: name.into(),
        kind: kind.into(),
        routes: vec!["/x".into(), "/x/{*rest}".into()],
        file: "x".into(),
    };
    let problem = Problem {
        file: "bad.wasm".into(),
        service: None,
        problem: "is\nodd".into(),
    };
    let findings = Findings {
        services: vec![good("a", "wasi:http 0.2"), good("longer", "cgi")],
        problems: vec![problem],
    };
    let mut printed = Vec::new();
    print(&mut printed, &findings).unwrap();
    assert_eq!(
        String::from_utf8(printed).unwrap(),
        "ok  a       wasi:http 0.2  /x  /x/{*rest}\nok  longer  cgi            /x  /x/{*rest}\nerror  bad.wasm: is odd\n"
    );
}
