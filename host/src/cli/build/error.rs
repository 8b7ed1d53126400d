//! Why there is no component.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::config::ConfigError;

/// Why a service was not built. What the compiler had to say it has said.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The manifest isn't there or is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing says how.
    #[error(
        "{}: does not say how the service is built: put a Cargo.toml beside it, or add [build] with `command = \"…\"`",
        manifest.display()
    )]
    NoHow {
        /// The manifest.
        manifest: PathBuf,
    },
    /// The program that builds is not there.
    #[error("`{program}` can't be started: install it, or correct `command` under [build]")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// Cargo is not there.
    #[error("cargo can't be started: install Rust from https://rustup.rs")]
    NoCargo(#[source] io::Error),
    /// The toolchain can't compile for components.
    #[error(
        "the Rust toolchain lacks the target wasm32-wasip2: run `rustup target add wasm32-wasip2`"
    )]
    NoTarget,
    /// The compiler refuses the sources.
    #[error("{service} was not built: `{command}` ended with {status}")]
    Failed {
        /// The service.
        service: String,
        /// What ran.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// Cargo built no component of the package.
    #[error(
        "{}: cargo builds no component of it: write `crate-type = [\"cdylib\"]` under [lib]",
        manifest.display()
    )]
    NoLibrary {
        /// The Cargo.toml.
        manifest: PathBuf,
    },
    /// The package has several components and none is the service's.
    #[error(
        "{}: cargo builds several components of it and none is called {service}.wasm: \
         say which by a `command` under [build]",
        manifest.display()
    )]
    Several {
        /// The Cargo.toml.
        manifest: PathBuf,
        /// The service.
        service: String,
    },
    /// The command wrote no component.
    #[error(
        "`{command}` ended well, but there is no {}: let it write there, or correct `component`",
        component.display()
    )]
    NotThere {
        /// What ran.
        command: String,
        /// Where the component should be.
        component: PathBuf,
    },
    /// The component can't be put in its place.
    #[error("{}: can't be written: check the folder's permissions and the disk", path.display())]
    Put {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What the command says can't be read.
    #[error("`{command}` can't be followed")]
    Follow {
        /// What runs.
        command: String,
        /// What the system said.
        source: io::Error,
    },
}
