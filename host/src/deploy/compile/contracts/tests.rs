//! What is read of a component's interfaces.

use super::super::artifact::ArtifactKind;
use super::super::fixture::{HANDLER_02, HANDLER_03};
use super::super::inspect::{Inspected, inspect};
use super::*;

/// A component with an empty handler that imports `a:b/c@0.1.0` with a function of this `ty`, after these `types`.
fn importing(handler: &str, types: &str, ty: &str) -> Vec<u8> {
    let text = format!(
        "(component
           (import \"a:b/c@0.1.0\" (instance
             {types}
             (export \"f\" (func {ty}))))
           (instance $none)
           (export \"{handler}\" (instance $none)))"
    );
    wat::parse_str(text).unwrap()
}

fn signature(types: &str, ty: &str) -> String {
    let component = importing(HANDLER_03, types, ty);
    match inspect(&component).unwrap() {
        Inspected::Component(ArtifactKind::Http03, contracts) => {
            assert_eq!(contracts.imports[0].interface.to_string(), "a:b/c@0.1.0");
            contracts.imports[0].functions["f"].clone()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn signatures_are_written_by_structure() {
    let record = "(type $r (record (field \"x\" u8) (field \"y\" (list string))))
                  (export \"point\" (type $point (eq $r)))";
    for (types, ty, expected) in [
        ("", "", "func()"),
        (
            "",
            "async (param \"a\" bool) (result char)",
            "async func(a: bool) -> char",
        ),
        (
            record,
            "(param \"a\" $point) (param \"b\" f64)",
            "func(a: record<x: u8, y: list<string>>, b: f64)",
        ),
        (
            "",
            "(result (result (option s64) (error (tuple u16 u32))))",
            "func() -> result<ok: option<s64>, err: tuple<u16, u32>>",
        ),
        ("", "(result (result))", "func() -> result<ok, err>"),
        (
            "(type $v (variant (case \"a\") (case \"b\" u8)))
             (type $e (enum \"c\" \"d\")) (type $g (flags \"h\"))
             (export \"v\" (type $vx (eq $v))) (export \"e\" (type $ex (eq $e)))
             (export \"g\" (type $gx (eq $g)))",
            "(param \"a\" $vx) (param \"b\" $ex) (param \"c\" $gx)",
            "func(a: variant<a, b: u8>, b: enum<c, d>, c: flags<h>)",
        ),
    ] {
        assert_eq!(signature(types, ty), expected);
    }
}

#[test]
fn what_belongs_to_one_instance_does_not_cross() {
    for (types, ty, what) in [
        (
            "(export \"r\" (type $r (sub resource)))",
            "(param \"a\" (own $r))",
            "a resource",
        ),
        ("", "(param \"a\" (stream u8))", "a stream"),
        ("", "(result (option (future)))", "a future"),
    ] {
        let refused = inspect(&importing(HANDLER_03, types, ty)).unwrap_err();
        let said = refused.to_string();
        let item = if types.is_empty() { "f" } else { "r" };
        let expected = format!("a:b/c@0.1.0#{item} with {what}");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn signatures_without_bound_are_refused() {
    for (depth, words) in [(12, "too large"), (29, "not a valid WebAssembly binary")] {
        // Each type holds the one before twice: the text doubles, the component hardly grows.
        let first = "(type $t0 (tuple u8 u8)) (export \"t0\" (type $e0 (eq $t0)))";
        let mut types = first.to_owned();
        for level in 1..=depth {
            let before = level - 1;
            types += &format!(
                "(type $t{level} (record (field \"a\" $e{before}) (field \"b\" $e{before})))
                 (export \"t{level}\" (type $e{level} (eq $t{level})))"
            );
        }
        let ty = format!("(param \"a\" $e{depth})");
        let refused = inspect(&importing(HANDLER_03, &types, &ty)).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[test]
fn async_functions_need_the_async_component_model() {
    let refused = inspect(&importing(HANDLER_02, "", "async")).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("a:b/c@0.1.0#f, an async function"),
        "{refused}"
    );
    inspect(&importing(HANDLER_02, "", "")).unwrap();
}

#[test]
fn an_interface_that_is_imported_and_exported_is_read_on_either_side() {
    // What stands before a service may offer more of its interface than it asks for itself.
    let text = "(component
           (import \"a:b/c@0.1.0\" (instance $in (export \"f\" (func))))
           (alias export $in \"f\" (func $f))
           (instance $out (export \"f\" (func $f)) (export \"g\" (func $f)))
           (export \"a:b/c@0.1.0\" (instance $out)))";
    let component = wat::parse_str(text).unwrap();
    let Inspected::Component(ArtifactKind::Functions, contracts) = inspect(&component).unwrap()
    else {
        panic!("it has functions");
    };
    let names = |contracts: &[Contract]| -> Vec<String> {
        contracts[0].functions.keys().cloned().collect()
    };
    assert_eq!(names(&contracts.imports), ["f"]);
    assert_eq!(names(&contracts.exports), ["f", "g"]);
}

#[test]
fn more_than_is_kept_is_refused_as_an_import_and_ignored_as_an_export() {
    let long = "x".repeat(100);
    let names = (0..400).map(|number| format!("a:b/{long}{number}@0.1.0"));
    let all = |side: &str| -> String {
        names
            .clone()
            .map(|name| side.replace("NAME", &name))
            .collect()
    };
    let imports = all("(import \"NAME\" (instance))");
    let exports = all("(export \"NAME\" (instance $none))");
    let component = |imports: &str, exports: &str| {
        let text = format!(
            "(component {imports} (instance $none) {exports} (export \"{HANDLER_03}\" (instance $none)))"
        );
        wat::parse_str(text).unwrap()
    };
    let refused = inspect(&component(&imports, "")).unwrap_err();
    assert!(
        refused.to_string().contains("bytes to describe"),
        "{refused}"
    );
    inspect(&component("", &exports)).unwrap();
}
