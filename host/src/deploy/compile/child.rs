//! The compile child: limits itself, reads an artifact from standard input, writes its image, reports.
//!
//! Runs in a process of its own that serves nothing, so that a hostile or huge artifact can cost no more than
//! this process. Must not start a runtime or read configuration; what it needs comes as arguments.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::parent_id;
use std::path::Path;

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use super::artifact::{ARTIFACT_BYTES_MAX, ArtifactKind, Digest};
use super::componentize::component_of;
use super::contracts::Contracts;
use super::refused::{Reasons, Refused};
use crate::engine;

/// Only the owner may read an image.
pub(super) const IMAGE_MODE: u32 = 0o600;

const NICE_LOWEST: i32 = 19;

/// What the child is told.
#[derive(Debug, Clone)]
pub struct Orders<'a> {
    /// Where the image goes; must not exist.
    pub output: &'a Path,
    /// Address space beyond what the program occupies when it starts, in bytes.
    pub memory: u64,
    /// Processor time, all threads together, in seconds.
    pub cpu_seconds: u64,
    /// The process that wants the image.
    pub host: u32,
}

/// What the child says on the last line of its standard output, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// The image is written and synced.
    Compiled(Made),
    /// The artifact can't be served: what is wrong and its causes, outermost first.
    Refused(Vec<String>),
    /// The child itself met an obstacle: what, and its causes, outermost first.
    Failed(Vec<String>),
}

/// An image and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Of the bytes that were read and compiled.
    pub artifact: Digest,
    /// How it is served.
    pub kind: ArtifactKind,
    /// What it shares with other services.
    pub contracts: Contracts,
    /// Of the image.
    pub image: Digest,
    /// The image's length.
    pub image_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("the host is gone")]
    Abandoned,
    #[error("can't limit the compiler's {what}")]
    Limit {
        what: &'static str,
        source: rustix::io::Errno,
    },
    #[error("can't read the artifact")]
    Read { source: io::Error },
    #[error("the artifact has grown past {ARTIFACT_BYTES_MAX} bytes")]
    Grown,
    #[error("can't set up the compiler")]
    Engine { source: Reasons },
    #[error("can't write the image")]
    Write { source: io::Error },
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Compiles what `input` yields as ordered and says how it went.
pub fn run(orders: &Orders<'_>, input: impl Read) -> Report {
    match compile(orders, input) {
        Ok(made) => Report::Compiled(made),
        Err(ChildError::Refused(refused)) => Report::Refused(chain(&refused)),
        Err(failure) => Report::Failed(chain(&failure)),
    }
}

fn compile(orders: &Orders<'_>, input: impl Read) -> Result<Made, ChildError> {
    limit(orders)?;
    let mut artifact = Vec::new();
    input
        .take(ARTIFACT_BYTES_MAX + 1)
        .read_to_end(&mut artifact)
        .map_err(|source| ChildError::Read { source })?;
    if artifact.len() as u64 > ARTIFACT_BYTES_MAX {
        return Err(ChildError::Grown);
    }
    let (component, kind, contracts) = component_of(&artifact)?;
    let engine = Engine::new(&engine::compile_config(kind.engine())).map_err(|error| {
        ChildError::Engine {
            source: reasons(&error),
        }
    })?;
    let image = engine
        .precompile_component(&component)
        .map_err(|error| Refused::Compile {
            source: reasons(&error),
        })?;
    write(orders.output, &image).map_err(|source| ChildError::Write { source })?;
    Ok(Made {
        artifact: Digest::of(&artifact),
        kind,
        contracts,
        image: Digest::of(&image),
        image_bytes: image.len() as u64,
    })
}

fn limit(orders: &Orders<'_>) -> Result<(), ChildError> {
    // With the host gone nobody wants the image; on systems without this the limits below end the child.
    set_parent_process_death_signal(Some(Signal::KILL)).ok();
    // No signal comes for a host that was gone before.
    if parent_id() != orders.host {
        return Err(ChildError::Abandoned);
    }
    // A lower priority is a courtesy; its refusal is no reason to stop.
    nice(NICE_LOWEST).ok();
    let set = |what, resource, current: u64, maximum: u64| {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        setrlimit(resource, limit).map_err(|source| ChildError::Limit { what, source })
    };
    let memory = occupied_bytes().saturating_add(orders.memory);
    set("core dumps", Resource::Core, 0, 0)?;
    set(
        "processor time",
        Resource::Cpu,
        orders.cpu_seconds,
        orders.cpu_seconds + 1,
    )?;
    set("memory", Resource::As, memory, memory)
}

/// The address space of this process as it is: program, libraries and stacks.
fn occupied_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmSize:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kib| kib.saturating_mul(1024))
}

fn write(path: &Path, image: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(IMAGE_MODE)
        .open(path)?;
    file.write_all(image)?;
    file.sync_all()
}

fn reasons(error: &wasmtime::Error) -> Reasons {
    Reasons::new(error.chain().map(ToString::to_string))
}

/// An error and its causes, outermost first.
fn chain(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect()
}
