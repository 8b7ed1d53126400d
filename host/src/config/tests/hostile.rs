//! Files made to break the reader: whatever they hold, the answer is a configuration or an error that names
//! the file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::settings::HOST;
use super::*;
use crate::config::document::Document;
use crate::config::raw::{RawHost, RawService};
use crate::config::service::resolve::{Confined, resolve};

/// Takes `text` for a service's manifest and for the host's settings.
fn read(text: &[u8]) -> Result<(), String> {
    let document = Document::from_bytes(Path::new("/nowhere/fuzz.toml"), text.to_vec());
    let service = document.and_then(|document| {
        let raw = document.decode::<RawService>()?;
        // Bytes that are no text stand for every variable of the host.
        let variable = |_: &str| Some(OsString::from_vec(vec![0xff]));
        resolve(
            raw,
            &document.root(),
            Some("fuzz".to_owned()),
            Confined::ToFolder,
            &variable,
        )
    });
    let document = Document::from_bytes(Path::new("/nowhere/fuzz.toml"), text.to_vec());
    let host = document.and_then(|document| {
        document.decode_each::<RawService>("service")?;
        document.decode::<RawHost>()
    });
    for error in [service.err(), host.err()].into_iter().flatten() {
        let message = error.to_string();
        if !message.starts_with("/nowhere/fuzz.toml") || message.len() > 4096 {
            return Err(message);
        }
    }
    Ok(())
}

/// A valid manifest with pieces cut out, doubled, swapped or overwritten.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        any::<prop::sample::Index>(),
        0_usize..40,
        prop::collection::vec(any::<u8>(), 0..6),
        0..4,
    );
    let text = prop::sample::select(vec![FULL, HOST]);
    (text, prop::collection::vec(edit, 1..6)).prop_map(|(text, edits)| {
        let mut text = text.as_bytes().to_vec();
        for (at, length, bytes, kind) in edits {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            let piece = text[start..end].to_vec();
            match kind {
                0 => drop(text.drain(start..end)),
                1 => drop(text.splice(start..start, piece)),
                2 => drop(text.splice(start..end, bytes)),
                _ => text[start..end].reverse(),
            }
        }
        text
    })
}

/// Lines of TOML with keys that are known and values that needn't fit them.
fn plausible() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "name",
        "component",
        "route",
        "limits",
        "limits.memory",
        "limits.cpu",
        "instances.reuse",
        "env.A",
        "allow.hosts",
        "env_inherit",
        "listen",
        "admin",
        "timeouts.idle",
        "service",
        "\"\"",
        "limits.\"\\u0000\"",
    ]);
    let value = "[0-9]{1,25}|'[^'\\n]{0,10}'|\\[\\]|\\[\\[\\]\\]|\\{\\}|\\{path='/'\\}|\\[\\{path='/'\\}\\]|true|nan|'1MiB'|'1s'|1979-05-27";
    let line = prop_oneof![
        (key.clone(), value).prop_map(|(key, value)| format!("{key} = {value}\n")),
        key.clone().prop_map(|key| format!("[{key}]\n")),
        key.prop_map(|key| format!("[[{key}]]\n")),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert_eq!(read(&bytes), Ok(()));
    }

    #[test]
    fn arbitrary_text_is_survived(text in "[\\[\\]{}=.,'\"#a-c0-9\\n \\\\-]{0,200}") {
        prop_assert_eq!(read(text.as_bytes()), Ok(()));
    }

    #[test]
    fn spoilt_manifests_are_survived(text in mutated()) {
        prop_assert_eq!(read(&text), Ok(()));
    }

    #[test]
    fn plausible_nonsense_is_survived(text in plausible()) {
        prop_assert_eq!(read(text.as_bytes()), Ok(()));
    }
}

#[test]
fn nesting_and_length_without_end_are_survived() {
    let many = 100_000;
    for text in [
        format!("a = {}", "[".repeat(many)),
        format!("a = {}", "{a=".repeat(many)),
        format!("{}a = 1", "a.".repeat(many)),
        format!("[{}a]", "a.".repeat(many)),
        format!("[[{}a]]", "a.".repeat(many)),
        format!("x = {{ {}a = 1 }}", "a.".repeat(many)),
        format!("env.{}a = 1", "a.".repeat(many)),
        "[[service]]\n".repeat(many / 2),
        format!("name = '{}'", "x".repeat(many)),
        format!("{} = 1", "x".repeat(many)),
        format!("[limits]\nmemory = '{}'", "9".repeat(many)),
        format!("[limits]\ncpu = '{}'", "9".repeat(many)),
        format!("[limits]\nqueue = '{}'", "x".repeat(many)),
        format!("component = '{}'", "x/".repeat(many)),
        format!("component = '{}'", "../".repeat(many)),
        format!(
            "env.{} = ''\nenv.{}.a = ''",
            "x".repeat(many),
            "y".repeat(many)
        ),
        format!("allow.hosts = ['https://{}']", "x".repeat(many)),
        format!("[[route]]\npath = '{}'", "/x".repeat(many)),
        format!("[[route]]\npath = '/'\nmethods = ['{}']", "x".repeat(many)),
    ] {
        assert_eq!(read(text.as_bytes()), Ok(()));
    }
}

#[test]
fn a_pipe_in_a_files_place_is_not_waited_for() {
    let folder = Folder::new();
    let path = folder.path("pipe.toml");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(
        folder.service("pipe.toml").unwrap_err(),
        "pipe.toml: can't be read: check its permissions and that it is a file"
    );
}
