//! Runs the compile child and reads its outcome: report, overrun or crash. Trusts nothing it says beyond that.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus, Stdio};
use std::thread;

use rustix::fs::OFlags;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::artifact::ARTIFACT_BYTES_MAX;
use super::child::{Made, Report};
use super::error::{CompileError, Obstacle, RefusedByChild};
use crate::cli::compile_child::VERB;
use crate::config;

/// More threads would need more memory and take more from what serves.
const THREADS_MAX: usize = 4;

/// What is kept of each of the child's outputs; the rest is read and dropped.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// What is shown of a crashed child's last words.
const LAST_WORDS_BYTES_MAX: usize = 1024;

/// How to start the compile child; it gets four more arguments, see [`crate::cli::compile_child::Args`].
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Launch {
    /// This very program, even if its file has been replaced since it started.
    #[must_use]
    pub fn this_program() -> Self {
        Self::new("/proc/self/exe", [VERB])
    }

    /// Another program that calls [`crate::cli::compile_child::run`].
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }
}

/// Opens an artifact without ever waiting for it, and checks its type and size before reading any of it.
pub(super) fn open_artifact(path: &Path) -> Result<File, CompileError> {
    let unreadable = |source| CompileError::Read {
        path: path.to_owned(),
        source,
    };
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("not a regular file")));
    }
    if metadata.len() > ARTIFACT_BYTES_MAX {
        return Err(CompileError::TooLarge {
            bytes: metadata.len(),
        });
    }
    Ok(file)
}

/// Has a child compile `artifact` into a file at `output`. Dropping the future kills the child.
pub(super) async fn compile(
    launch: &Launch,
    settings: &config::Compile,
    artifact: File,
    output: &Path,
) -> Result<Made, CompileError> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(THREADS_MAX);
    let cpu = settings
        .timeout
        .saturating_mul(u32::try_from(threads).unwrap_or(u32::MAX));
    let mut child = Command::new(&launch.program)
        .args(&launch.arguments)
        .arg(output)
        .arg(settings.memory.to_string())
        .arg(cpu.as_secs().saturating_add(1).to_string())
        .arg(process::id().to_string())
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        // What an allocator only reserves would count as much as what it uses: mimalloc reserves 1 GiB, glibc
        // 64 MiB for each of its arenas.
        .env("MIMALLOC_ARENA_RESERVE", "0")
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::from(artifact))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C in the terminal is for the host, which finishes what it began.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Obstacle::Spawn { source })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = async { tokio::join!(child.wait(), bounded(stdout), bounded(stderr)) };
    let Ok((status, stdout, stderr)) = tokio::time::timeout(settings.timeout, ended).await else {
        child.kill().await.ok();
        return Err(CompileError::Timeout {
            limit: settings.timeout,
        });
    };
    let status = status.map_err(|source| Obstacle::Spawn { source })?;
    outcome(settings, status, &stdout, &String::from_utf8_lossy(&stderr))
}

/// The first bytes of `from`, which is read to its end all the same so that the child never blocks on it.
async fn bounded(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(mut from) = from else {
        return Vec::new();
    };
    let mut kept = Vec::new();
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    kept
}

fn outcome(
    settings: &config::Compile,
    status: ExitStatus,
    stdout: &[u8],
    stderr: &str,
) -> Result<Made, CompileError> {
    let report = stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Report>(line).ok())
        .next_back();
    match report {
        Some(Report::Compiled(made)) if status.success() => Ok(made),
        Some(Report::Refused(chain) | Report::Failed(chain))
            if is_out_of_memory(&chain.join("\n")) =>
        {
            Err(CompileError::Memory {
                limit: settings.memory,
            })
        }
        Some(Report::Refused(chain)) => Err(CompileError::Refused(RefusedByChild::new(chain))),
        Some(Report::Failed(chain)) => Err(Obstacle::Child {
            source: RefusedByChild::new(chain),
        }
        .into()),
        Some(Report::Compiled(_)) | None => Err(death(settings, status, stderr)),
    }
}

fn death(settings: &config::Compile, status: ExitStatus, stderr: &str) -> CompileError {
    if is_out_of_memory(stderr) {
        return CompileError::Memory {
            limit: settings.memory,
        };
    }
    let signal = status.signal().and_then(Signal::from_named_raw);
    match signal {
        Some(Signal::XCPU) => CompileError::Timeout {
            limit: settings.timeout,
        },
        Some(Signal::KILL) => CompileError::Killed,
        _ => CompileError::Crashed {
            status,
            last_words: last_words(stderr),
        },
    }
}

/// What allocators, mmap and thread creation say when the address space is used up.
fn is_out_of_memory(said: &str) -> bool {
    [
        "memory allocation of",
        "out of memory",
        "Cannot allocate memory",
        "Resource temporarily unavailable",
    ]
    .iter()
    .any(|sign| said.contains(sign))
}

fn last_words(stderr: &str) -> String {
    let start = stderr.ceil_char_boundary(stderr.len().saturating_sub(LAST_WORDS_BYTES_MAX));
    stderr[start..].trim().replace('\n', " | ")
}

#[cfg(test)]
mod tests;
