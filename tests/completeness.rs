//! What was forgotten: a fault guest without a test, a test file that no module declares.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::guests::root;

#[test]
fn every_fault_guest_has_a_test_of_its_name() {
    let guests = modules(&root().join("guests/faults"));
    let tests = modules(&root().join("tests/isolation"));
    let without: Vec<_> = guests.difference(&tests).collect();
    assert!(!guests.is_empty());
    assert!(
        without.is_empty(),
        "add tests/isolation/NAME.rs for each of {without:?}"
    );
}

#[test]
fn every_test_file_is_a_module() {
    for folder in ["cli", "deploy", "isolation", "request"] {
        let declares = fs::read_to_string(root().join(format!("tests/{folder}.rs"))).unwrap();
        for name in modules(&root().join("tests").join(folder)) {
            let declared = declares.lines().any(|line| line == format!("mod {name};"));
            assert!(
                declared,
                "tests/{folder}/{name}.rs is not run: declare it in tests/{folder}.rs"
            );
        }
    }
}

/// The names of the Rust files in a folder.
fn modules(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let rust = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}
