//! `skep pull`: fetches a component from an OCI registry into a file.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::registry::{self, Pulled, Reference, RegistryError};
use super::style::harmless;
use super::{Failure, block_on, output_failed, print_json};

/// Arguments of `skep pull`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// From where: HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST, with the login that `docker login` left
    reference: Reference,
    /// The file that is written [default: the repository's last part and .wasm, in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why a component was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry does not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is no place for it.
    #[error("{}: can't be written: check the folder, its permissions and the space on its disk", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing can be started here.
    #[error("can't start")]
    Runtime(#[source] io::Error),
}

/// What is printed.
#[derive(Serialize)]
struct Done {
    reference: String,
    digest: String,
    component: String,
    annotations: BTreeMap<String, String>,
    file: PathBuf,
}

/// Fetches the component, writes it and prints where it was by digest.
///
/// # Errors
/// When there is no such component, or the file can't be written.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let done = pull(args)?;
    let mut output = io::stdout().lock();
    let printed = if args.json {
        print_json(output, &done)
    } else {
        let (reference, component) = (&done.reference, &done.component);
        let file = harmless(&done.file.to_string_lossy());
        writeln!(
            output,
            "reference  {reference}\ncomponent  {component}\nfile       {file}"
        )
    };
    printed.map(|()| ExitCode::SUCCESS).or_else(output_failed)
}

fn pull(args: &Args) -> Result<Done, PullError> {
    let pulled = registry::pull(&args.reference);
    let pulled = block_on(pulled).map_err(PullError::Runtime)??;
    let file = args
        .output
        .clone()
        .unwrap_or_else(|| file_of(&args.reference));
    write(&file, &pulled).map_err(|source| PullError::Write {
        file: file.clone(),
        source,
    })?;
    Ok(Done {
        reference: pulled.reference.to_string(),
        digest: pulled.digest.to_string(),
        component: pulled.component.to_string(),
        annotations: pulled.annotations,
        file,
    })
}

fn file_of(reference: &Reference) -> PathBuf {
    let repository = reference.repository();
    let last = repository.rsplit('/').next().unwrap_or(repository);
    PathBuf::from(format!("{last}.wasm"))
}

/// Writes the file beside its place and moves it there: it may be in a folder that a host watches.
fn write(file: &Path, pulled: &Pulled) -> io::Result<()> {
    let beside = file.with_file_name(format!(".skep-pull-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)
        .and_then(|mut beside| beside.write_all(&pulled.bytes))
        .and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        // What is not there needs no removing.
        fs::remove_file(&beside).ok();
    }
    written
}
