//! What is served, and the words that anything else is refused with.

use proptest::prelude::*;

use super::super::componentize::component_of;
use super::super::fixture::{HANDLER_02, HANDLER_03, RUN_02, component, module, typed_module};
use super::*;

fn refusal(bytes: &[u8]) -> String {
    inspect(bytes).unwrap_err().to_string()
}

fn kind_of(bytes: &[u8]) -> ArtifactKind {
    match inspect(bytes).unwrap() {
        Inspected::Component(kind, _) => kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn exports_decide_the_kind() {
    for (export, kind) in [
        (HANDLER_02, ArtifactKind::Http02),
        ("wasi:http/incoming-handler@0.2.0", ArtifactKind::Http02),
        (HANDLER_03, ArtifactKind::Http03),
        ("wasi:http/handler@0.3.0", ArtifactKind::Http03),
        (RUN_02, ArtifactKind::Command),
    ] {
        let bytes = component(&["wasi:io/streams@0.2.6"], &["a:b/c@1.0.0", export]);
        assert_eq!(kind_of(&bytes), kind, "{export}");
    }
    let both = component(&[], &[HANDLER_02, HANDLER_03]);
    assert_eq!(kind_of(&both), ArtifactKind::Http03);
}

#[test]
fn a_command_module_becomes_a_cgi_component() {
    let bytes = module(&[("wasi_snapshot_preview1", "sched_yield")], "_start");
    assert_eq!(inspect(&bytes).unwrap(), Inspected::Command);
    let (component, kind, _) = component_of(&bytes).unwrap();
    assert_eq!(kind, ArtifactKind::Command);
    assert_eq!(kind_of(&component), ArtifactKind::Command);
}

#[test]
fn a_module_with_unusable_types_is_refused_with_the_encoders_reasons() {
    let refused = component_of(&typed_module()).unwrap_err();
    assert!(matches!(refused, Refused::Componentize { .. }), "{refused}");
    assert!(std::error::Error::source(&refused).is_some());
}

#[test]
fn other_files_are_named_for_what_they_are() {
    for (bytes, words) in [
        (&b""[..], "empty"),
        (b"hello, world", "a text file"),
        (b" (module)", "wasm-tools parse"),
        (b"\x7fELF\x02\x01", "native executable"),
        (b"PK\x03\x04....", "zip"),
        (b"\xff\xfe\x00\x01", "some other file"),
        (b"\0as", "cut short"),
        (b"\0asm\x01\0\0\0\x01", "cut short"),
        (b"\0asm\x99\0\0\0", "not a valid"),
    ] {
        let refusal = refusal(bytes);
        assert!(refusal.contains(words), "{bytes:?}: {refusal}");
    }
}

#[test]
fn modules_for_elsewhere_are_told_what_to_build_for() {
    let unknown = refusal(&module(&[], "add"));
    assert!(
        unknown.contains("exports add, memory but no _start"),
        "{unknown}"
    );
    assert!(unknown.contains("wasm32-wasip2"), "{unknown}");
    let foreign = refusal(&module(&[("env", "emscripten_now")], "_start"));
    assert!(foreign.contains("imports env.emscripten_now"), "{foreign}");
    let old = refusal(&module(&[("wasi_unstable", "fd_write")], "_start"));
    assert!(old.contains("wasi_unstable"), "{old}");
}

#[test]
fn components_that_are_no_service_are_told_what_one_exports() {
    let library = refusal(&component(&[], &["shop:inventory/stock@0.1.0"]));
    assert!(
        library.contains("exports shop:inventory/stock@0.1.0;"),
        "{library}"
    );
    assert!(
        library.contains("wasi:http/incoming-handler@0.2"),
        "{library}"
    );
    let nothing = refusal(&component(&[], &[]));
    assert!(nothing.contains("exports nothing"), "{nothing}");
    let candidate = refusal(&component(&[], &["wasi:http/handler@0.3.0-rc-2025-09-16"]));
    assert!(
        candidate.contains("0.3.0-rc-2025-09-16, a version"),
        "{candidate}"
    );
}

#[test]
fn an_import_that_is_not_offered_is_named() {
    let refusal = refusal(&component(
        &["wasi:cli/stdout@0.2.0", "wasi:keyvalue/store@0.2.0"],
        &[HANDLER_02],
    ));
    assert!(
        refusal.contains("imports wasi:keyvalue/store@0.2.0, which"),
        "{refusal}"
    );
    assert!(refusal.contains("wasi:http"), "{refusal}");
}

#[test]
fn new_imports_need_the_new_export() {
    let import = "wasi:clocks/system-clock@0.3.0";
    let refusal = refusal(&component(&[import], &[HANDLER_02]));
    assert!(
        refusal.contains(import) && refusal.contains(HANDLER_02),
        "{refusal}"
    );
    inspect(&component(&[import], &[HANDLER_03])).unwrap();
}

#[test]
fn every_cut_of_a_binary_is_refused() {
    let whole = component(&["wasi:io/streams@0.2.6"], &[HANDLER_02]);
    for end in 0..whole.len() {
        inspect(&whole[..end]).unwrap_err();
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), layer in 0_u8..3) {
        inspect(&bytes).ok();
        if layer > 0 && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(if layer == 1 { b"\0asm\x01\0\0\0" } else { b"\0asm\x0d\0\x01\0" });
            inspect(&bytes).ok();
        }
    }

    #[test]
    fn no_damage_panics(position in 0_usize..400, value: u8) {
        let mut bytes = component(&["wasi:io/streams@0.2.6"], &[HANDLER_02]);
        let length = bytes.len();
        bytes[position % length] = value;
        inspect(&bytes).ok();
    }
}
