//! Where the guests are that `cargo xtask guests` builds.

use std::path::{Path, PathBuf};

/// A showcase guest: `guests/NAME`.
pub(crate) fn guest(name: &str) -> PathBuf {
    built(&format!("{name}.wasm"))
}

/// A guest that misbehaves: `guests/faults/NAME.rs`.
pub(crate) fn fault(name: &str) -> PathBuf {
    built(&format!("faults/{name}.wasm"))
}

/// A guest that shows what it sees: `guests/probes/NAME.rs`.
pub(crate) fn probe(name: &str) -> PathBuf {
    built(&format!("probes/{name}.wasm"))
}

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn built(name: &str) -> PathBuf {
    let path = root().join("target/guests").join(name);
    assert!(
        path.is_file(),
        "no {}: run `cargo xtask guests` first",
        path.display()
    );
    path
}
