//! One build: the command, what it says, and the component in its place.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde::Deserialize;

use super::error::BuildError;
use super::leash::Leash;
use crate::config::build::{Build, How};

const TARGET: &str = "wasm32-wasip2";

/// A component that was made.
#[derive(Debug)]
pub(in crate::cli) struct Built {
    /// Where it lies.
    pub(in crate::cli) component: PathBuf,
    /// Its length.
    pub(in crate::cli) bytes: u64,
    /// How long it took to make it.
    pub(in crate::cli) took: Duration,
}

/// Builds a service; what the compiler says goes to standard error. On a leash it says only what is wrong, and can be
/// ended from another thread.
///
/// # Errors
/// When it could not be built, or the component not be put in its place: then the one before is still there.
pub(in crate::cli) fn make(build: &Build, leash: Option<&Leash>) -> Result<Built, BuildError> {
    let began = Instant::now();
    let command = Running::start(build, leash)?;
    let shown = command.shown.clone();
    let (made, status) = command.end()?;
    if !status.success() {
        return Err(match build.how {
            How::Cargo if !has_target(&build.folder) => BuildError::NoTarget,
            _ => BuildError::Failed {
                service: build.name.to_string(),
                command: shown,
                status,
            },
        });
    }
    if build.how == How::Cargo {
        put(&component_of(build, made)?, &build.component)?;
    }
    match fs::metadata(&build.component) {
        Ok(metadata) if metadata.is_file() => Ok(Built {
            component: build.component.clone(),
            bytes: metadata.len(),
            took: began.elapsed(),
        }),
        _ => Err(BuildError::NotThere {
            command: shown,
            component: build.component.clone(),
        }),
    }
}

/// A command that builds.
struct Running<'a> {
    child: Child,
    leash: Option<&'a Leash>,
    shown: String,
}

impl<'a> Running<'a> {
    fn start(build: &Build, leash: Option<&'a Leash>) -> Result<Self, BuildError> {
        let mut command = command(&build.how, leash.is_some());
        command.current_dir(&build.folder).stdin(Stdio::null());
        match build.how {
            How::Cargo => command.stdout(Stdio::piped()),
            // Standard output is for what the verb itself has to say.
            How::Shell(_) | How::Program(_) => command.stdout(io::stderr()),
        };
        if leash.is_some() {
            command.process_group(0);
        }
        let child = command.spawn().map_err(|source| match build.how {
            How::Cargo => BuildError::NoCargo(source),
            How::Shell(_) | How::Program(_) => BuildError::Start {
                program: command.get_program().to_string_lossy().into_owned(),
                source,
            },
        })?;
        if let Some(leash) = leash {
            leash.hold(&child);
        }
        Ok(Self {
            child,
            leash,
            shown: shown(&build.how),
        })
    }

    /// Waits for its end; answers what cargo says it made.
    fn end(mut self) -> Result<(Vec<Made>, ExitStatus), BuildError> {
        let output = self.child.stdout.take();
        let made = output.map_or_else(|| Ok(Vec::new()), made);
        let status = self.wait();
        let both = made.and_then(|made| Ok((made, status?)));
        both.map_err(|source| BuildError::Follow {
            command: self.shown,
            source,
        })
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        let pid = self.child.id().try_into().ok().and_then(Pid::from_raw);
        if let (Some(leash), Some(pid)) = (self.leash, pid) {
            // Its id stays its own until it has been waited for.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let waited = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), ended));
            leash.release();
            waited?;
        }
        self.child.wait()
    }
}

fn command(how: &How, is_quiet: bool) -> Command {
    match how {
        How::Cargo => {
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "--release", "--target", TARGET]);
            cargo.arg("--message-format=json-render-diagnostics");
            if is_quiet {
                cargo.arg("--quiet");
            }
            cargo
        }
        How::Shell(line) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", line]);
            shell
        }
        How::Program(words) => {
            let (program, arguments) = words
                .split_first()
                .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
    }
}

/// The command as one would type it.
fn shown(how: &How) -> String {
    match how {
        How::Cargo => format!("cargo build --release --target {TARGET}"),
        How::Shell(line) => line.clone(),
        How::Program(words) => words.join(" "),
    }
}

/// A line of what cargo says to programs, as far as it matters.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(flatten)]
    made: Option<Made>,
}

/// What cargo made of a package.
#[derive(Deserialize)]
struct Made {
    manifest_path: PathBuf,
    filenames: Vec<PathBuf>,
}

/// What cargo says it made, read until it has nothing more to say.
fn made(output: ChildStdout) -> io::Result<Vec<Made>> {
    let mut all = Vec::new();
    for line in BufReader::new(output).lines() {
        // Build scripts and later versions may say anything.
        if let Ok(Message {
            reason,
            made: Some(made),
        }) = serde_json::from_str(&line?)
            && reason == "compiler-artifact"
        {
            all.push(made);
        }
    }
    Ok(all)
}

/// The component that cargo made of the service's own package.
fn component_of(build: &Build, made: Vec<Made>) -> Result<PathBuf, BuildError> {
    let manifest = build.folder.join("Cargo.toml");
    let own = manifest.canonicalize().unwrap_or_else(|_| manifest.clone());
    let is_own = |made: &Made| {
        made.manifest_path == manifest
            || made
                .manifest_path
                .canonicalize()
                .is_ok_and(|path| path == own)
    };
    let mut components: Vec<PathBuf> = made
        .into_iter()
        .filter(is_own)
        .flat_map(|made| made.filenames)
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect();
    let service = build.name.as_str();
    let is_called_so = |file: &PathBuf| {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        stem.replace('_', "-") == service
    };
    if let Some(called_so) = components.iter().position(is_called_so) {
        return Ok(components.swap_remove(called_so));
    }
    let several = components.len() > 1;
    components.pop().filter(|_| !several).ok_or(match several {
        true => BuildError::Several {
            manifest,
            service: service.to_owned(),
        },
        false => BuildError::NoLibrary { manifest },
    })
}

/// Puts a copy of `from` in the place of `to` in one step, unless it is there already: a host that watches sees either
/// the old component or the whole new one.
fn put(from: &Path, to: &Path) -> Result<(), BuildError> {
    let copied = || {
        let bytes = fs::read(from)?;
        if fs::read(to).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let partial = to.with_file_name(format!(".{name}.partial"));
        fs::write(&partial, bytes)?;
        fs::rename(&partial, to)
    };
    copied().map_err(|source| BuildError::Put {
        path: to.to_owned(),
        source,
    })
}

/// Whether the toolchain that is used in `folder` has a standard library for components; true if that can't be told.
fn has_target(folder: &Path) -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .stderr(Stdio::null())
        .output();
    output.map_or(true, |output| {
        let library = String::from_utf8_lossy(&output.stdout);
        Path::new(library.trim()).is_dir()
    })
}
