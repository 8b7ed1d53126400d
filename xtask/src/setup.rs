//! Set-up: the WebAssembly targets that guests are compiled for, the registry that tests push to, the clients that others
//! use, a browser, and what tests the admin API's document.
//!
//! The targets are not listed in a rust-toolchain.toml: where rustup's server is out of reach, every cargo call would
//! then fail, even for those who have built the targets another way.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::command;

/// WASI 0.2 and 0.3 components.
pub(crate) const COMPONENT_TARGET: &str = "wasm32-wasip2";
/// Plain programs served as CGI.
pub(crate) const PROGRAM_TARGET: &str = "wasm32-wasip1";

/// What asks the admin API all that its document allows, as PyPI has it.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Debian's name for its package of a registry (CNCF distribution), and for the program in it.
const REGISTRY: &str = "docker-registry";
/// Debian's names for clients that speak TLS, and for the programs in them.
const CLIENTS: [&str; 2] = ["curl", "openssl"];

/// Debian's name for a browser, and for the program in it.
const BROWSER: &str = "chromium";

/// Adds what is missing.
pub(crate) fn run() -> anyhow::Result<()> {
    targets()?;
    registry()?;
    clients()?;
    browser()?;
    schemathesis()
}

/// Adds each target that is missing, by rustup or else from the distribution's sources.
fn targets() -> anyhow::Result<()> {
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

/// Installs the registry if it is missing. Tests start one of their own; the package's service is not to run.
fn registry() -> anyhow::Result<()> {
    if in_path(REGISTRY) {
        return Ok(());
    }
    debian(REGISTRY, "the tests of `skep push`")?;
    if Path::new("/run/systemd/system").is_dir() {
        command::run(as_root("systemctl").args(["disable", "--now", REGISTRY]))?;
    }
    Ok(())
}

/// Installs each client that is missing.
fn clients() -> anyhow::Result<()> {
    let missing = CLIENTS.into_iter().filter(|program| !in_path(program));
    for program in missing {
        debian(program, "the tests of TLS")?;
    }
    Ok(())
}

/// Installs the browser if it is missing.
fn browser() -> anyhow::Result<()> {
    match in_path(BROWSER) {
        true => Ok(()),
        false => debian(BROWSER, "the tests of pages"),
    }
}

/// Installs what tests the admin API's document, in an environment of its own below target.
fn schemathesis() -> anyhow::Result<()> {
    let folder = command::root().join("target/tools/python");
    if folder.join("bin/schemathesis").is_file() {
        return Ok(());
    }
    let make = || command::run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    if !in_path("python3") || make().is_err() {
        debian("python3-venv", "the test of the admin API's document")?;
        make()?;
    }
    let mut install = Command::new(folder.join("bin/python"));
    command::run(install.args(["-m", "pip", "install", "--quiet", SCHEMATHESIS]))
}

/// Installs a package of Debian's.
fn debian(package: &str, who: &str) -> anyhow::Result<()> {
    if !in_path("apt-get") {
        bail!(
            "{who} need {package}, and there is no apt-get to install Debian's package of it: install it by hand"
        );
    }
    let install = ["install", "-y", "--no-install-recommends", package];
    // The lists of a new machine may be empty or old.
    if command::run(as_root("apt-get").args(install)).is_err() {
        command::run(as_root("apt-get").arg("update"))?;
        command::run(as_root("apt-get").args(install))
            .with_context(|| format!("{who} need Debian's package {package}"))?;
    }
    Ok(())
}

/// `program`, with the rights of the system's administrator.
fn as_root(program: &str) -> Command {
    let is_root = Command::new("id").arg("-u").output();
    if is_root.is_ok_and(|output| output.stdout.trim_ascii() == b"0") {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
