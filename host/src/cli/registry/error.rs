//! Why a registry does not give or take a component.

use std::path::PathBuf;
use std::time::Duration;

use docker_credential::CredentialRetrievalError;
use http::StatusCode;
use skep_policy::size;

use super::reference::Reference;
use crate::deploy::compile::{ARTIFACT_BYTES_MAX, Digest};

/// The display says what is wrong, where, and what to do; causes are in `source`. Text that a registry sent is made
/// fit for a terminal before it gets here.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Docker's configuration has a login that can't be had.
    #[error("the login for {registry} can't be had by {}: correct it, or log in again with `docker login {registry}`", path.display())]
    Credentials {
        /// Whose login.
        registry: String,
        /// Docker's configuration.
        path: PathBuf,
        /// What is wrong.
        source: CredentialRetrievalError,
    },
    /// Docker's configuration can't be read.
    #[error("{}: can't be read: check its permissions", path.display())]
    Unreadable {
        /// Docker's configuration.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody there.
    #[error(
        "no registry answers at {url}; check the name, and that the registry runs (it needs TLS unless it is on this machine)"
    )]
    NoRegistry {
        /// Where it was looked for.
        url: String,
        /// Why there is no connection.
        source: hyper_util::client::legacy::Error,
    },
    /// Somebody there, who broke off.
    #[error("{registry} broke off its answer: try again")]
    Broken {
        /// Who was asked.
        registry: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Too slow.
    #[error("{registry} did not answer within {seconds} s: try again")]
    Timeout {
        /// Who was asked.
        registry: String,
        /// The bound.
        seconds: u64,
    },
    /// A login is missing.
    #[error("{registry} wants a login: log in with `docker login {registry}`")]
    NoLogin {
        /// Who was asked.
        registry: String,
    },
    /// The login is wrong.
    #[error(
        "{registry} does not take the login that Docker's configuration has for it: log in again with `docker login {registry}`"
    )]
    BadLogin {
        /// Who was asked.
        registry: String,
    },
    /// The login is not enough.
    #[error("{registry} does not allow this: {detail}; ask for the right to {access} {repository}")]
    Forbidden {
        /// Who was asked.
        registry: String,
        /// What would be needed.
        access: &'static str,
        /// Where.
        repository: String,
        /// What the answer said.
        detail: String,
    },
    /// Nothing there.
    #[error("{registry} has no {reference}: check the repository and the tag ({detail})")]
    NotFound {
        /// Who was asked.
        registry: String,
        /// What was asked for.
        reference: String,
        /// What the answer said.
        detail: String,
    },
    /// Any other status.
    #[error("{registry} answered {status}: {detail}")]
    Refused {
        /// Who was asked.
        registry: String,
        /// The status.
        status: StatusCode,
        /// What the answer said.
        detail: String,
    },
    /// An answer that no registry gives.
    #[error("{registry} answered with {what}; is it a registry?")]
    Foreign {
        /// Who was asked.
        registry: String,
        /// What is odd.
        what: &'static str,
    },
    /// It points to a place that is not asked.
    #[error(
        "{registry} points to {url}, which is not asked: only https is, and http on this machine"
    )]
    Elsewhere {
        /// Who was asked.
        registry: String,
        /// Where it points.
        url: String,
    },
    /// A manifest that can't be read.
    #[error("{reference} has no manifest of an image: push it again")]
    Manifest {
        /// What was asked for.
        reference: String,
        /// What is odd about it.
        source: serde_json::Error,
    },
    /// Something else than a component.
    #[error(
        "{reference} is {what}, not a WebAssembly component: push one with `skep push FILE REFERENCE`"
    )]
    NotWasm {
        /// What was asked for.
        reference: String,
        /// What it is, with its article.
        what: String,
    },
    /// A component larger than any that is taken.
    #[error(
        "{reference} has {bytes} bytes, and {} is the most that is taken",
        size::show(ARTIFACT_BYTES_MAX)
    )]
    TooLarge {
        /// What was asked for.
        reference: String,
        /// As the manifest says.
        bytes: u64,
    },
    /// Other bytes than were asked for.
    #[error(
        "{reference} is damaged in the registry or on the way: {found} came instead of {expected}; try again, then have the registry's storage checked"
    )]
    Corrupt {
        /// What was asked for.
        reference: String,
        /// The digest of what was asked for.
        expected: Digest,
        /// What came.
        found: String,
    },
    /// No component that could be described.
    #[error("this is no valid component: build it again with current tools")]
    Component(#[source] wasmparser::BinaryReaderError),
}

impl RegistryError {
    pub(super) fn timeout(registry: &str, bound: Duration) -> Self {
        Self::Timeout {
            registry: registry.to_owned(),
            seconds: bound.as_secs(),
        }
    }

    pub(super) fn corrupt(reference: &Reference, expected: Digest, found: Digest) -> Self {
        Self::Corrupt {
            reference: reference.to_string(),
            expected,
            found: found.to_string(),
        }
    }
}
