//! `skep push`: stores a component in an OCI registry.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::check::component::{self, BadComponent};
use super::registry::{
    self, Reference, ReferenceError, RegistryError, SIGNATURE_ANNOTATION, Version,
};
use super::{Failure, block_on, output_failed, print_json, small_file};

/// What tools that show images call one by.
const TITLE: &str = "org.opencontainers.image.title";

/// Arguments of `skep push`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component, or core module, to be stored
    file: PathBuf,
    /// Where: HOST/REPOSITORY:TAG, with the login that `docker login` left
    #[arg(value_parser = with_tag)]
    reference: Reference,
    /// The component's signature, as bytes or in base64, to be stored with it
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why a component was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The file is no component that a host would take.
    #[error("{}", file.display())]
    Component {
        /// As given.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The signature's file.
    #[error("{}: can't be read: check the path and its permissions", file.display())]
    Signature {
        /// As given.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The registry does not take it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
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
}

/// Stores the component and prints where it is by digest.
///
/// # Errors
/// When the file is no component, or the registry does not take it.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let done = push(args)?;
    let mut output = io::stdout().lock();
    let printed = if args.json {
        print_json(output, &done)
    } else {
        let Done {
            reference,
            component,
            ..
        } = &done;
        writeln!(output, "reference  {reference}\ncomponent  {component}")
    };
    printed.map(|()| ExitCode::SUCCESS).or_else(output_failed)
}

fn push(args: &Args) -> Result<Done, PushError> {
    let bad = |source: BadComponent| PushError::Component {
        file: args.file.clone(),
        source: source.into(),
    };
    let bytes = component::read(&args.file).map_err(bad)?;
    component::examine_bytes(&bytes).map_err(bad)?;
    let name = args.file.file_name().map(|name| name.to_string_lossy());
    let mut annotations =
        BTreeMap::from_iter(name.map(|name| (TITLE.to_owned(), name.into_owned())));
    if let Some(file) = &args.signature {
        let signature = small_file::signature(file).map_err(|source| PushError::Signature {
            file: file.clone(),
            source,
        })?;
        annotations.insert(SIGNATURE_ANNOTATION.to_owned(), signature);
    }
    let pushed = registry::push(&args.reference, bytes.into(), annotations);
    let pushed = block_on(pushed).map_err(PushError::Runtime)??;
    Ok(Done {
        reference: pushed.reference.to_string(),
        digest: pushed.digest.to_string(),
        component: pushed.component.to_string(),
    })
}

/// A digest follows from what is pushed: nothing can be pushed to one.
fn with_tag(text: &str) -> Result<Reference, ReferenceError> {
    let reference: Reference = text.parse()?;
    match reference.version() {
        Version::Tag(_) => Ok(reference),
        Version::Digest(_) => Err(ReferenceError::NoTag(text.to_owned())),
    }
}
