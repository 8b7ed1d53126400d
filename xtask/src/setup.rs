//! Set-up: the WebAssembly targets that guests are compiled for.
//!
//! They are not listed in a rust-toolchain.toml: where rustup's server is out of reach, every cargo call would
//! then fail, even for those who have built the targets another way.

use std::process::{Command, Stdio};

use crate::command;

/// WASI 0.2 and 0.3 components.
pub(crate) const COMPONENT_TARGET: &str = "wasm32-wasip2";
/// Plain programs served as CGI.
pub(crate) const PROGRAM_TARGET: &str = "wasm32-wasip1";

/// Adds each target that is missing, by rustup or else from the distribution's sources.
pub(crate) fn run() -> anyhow::Result<()> {
    let missing: Vec<_> = [COMPONENT_TARGET, PROGRAM_TARGET]
        .into_iter()
        .filter(|target| !installed(target))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let script = command::root().join("xtask/wasm-target.sh");
    command::run(
        Command::new("bash")
            .arg(script)
            .args(missing)
            .current_dir(command::root()),
    )
}

/// Whether the toolchain has a standard library for `target`.
fn installed(target: &str) -> bool {
    let Ok(output) = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(command::root())
        .stderr(Stdio::null())
        .output()
    else {
        return false;
    };
    let directory = String::from_utf8_lossy(&output.stdout);
    let Ok(entries) = std::fs::read_dir(directory.trim()) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("libstd-")
    })
}
