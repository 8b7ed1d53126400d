//! Child processes: started in a known directory, failures reported with the command as one would type it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The checkout's root directory.
pub(crate) fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}

/// `cargo ARGS` in `directory`, relative to the root. Rustup's choice of toolchain is that of this process.
pub(crate) fn cargo<'a>(directory: &str, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root().join(directory)).args(args);
    // What `cargo run` sets for this process describes xtask, and would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str()
            && name.starts_with("CARGO_PKG_")
        {
            command.env_remove(name);
        }
    }
    command.env_remove("CARGO_MANIFEST_DIR");
    command.env_remove("CARGO_MANIFEST_PATH");
    command
}

/// Runs to the end with this process's standard streams; anything but success is an error naming the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("could not start: {}", shown(command)))?;
    if !status.success() {
        bail!("failed ({status}): {}", shown(command));
    }
    Ok(())
}

/// The command as one would type it at the root.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = String::new();
    if let Some(directory) = command.get_current_dir()
        && let Ok(directory) = directory.strip_prefix(root())
        && !directory.as_os_str().is_empty()
    {
        line = format!("cd {} && ", directory.display());
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            line += &format!("{}={:?} ", name.display(), value);
        }
    }
    let program = PathBuf::from(command.get_program());
    line += &program.file_name().unwrap_or_default().to_string_lossy();
    for arg in command.get_args() {
        line += " ";
        line += &arg.to_string_lossy();
    }
    line
}

/// Builds a package's bench target, optimised, and says where the program is.
pub(crate) fn bench(package: &str, target: &str) -> anyhow::Result<PathBuf> {
    let mut build = cargo(
        "",
        [
            "bench",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ],
    );
    build.args(["--package", package, "--bench", target]);
    let output = build.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("failed ({}): {}", output.status, shown(&build));
    }
    let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    for message in messages {
        let message: serde_json::Value = message?;
        if message["target"]["name"] == target
            && let Some(program) = message["executable"].as_str()
        {
            return Ok(program.into());
        }
    }
    bail!("cargo did not say where it built {target} of {package}")
}
