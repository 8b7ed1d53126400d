//! What a host is to serve, before it runs and after.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;
use toml::{Table, Value};

use super::guests::root;
use super::host::Host;
use super::process::Process;
use super::sources::cargo_environment;
use super::turn::Turn;
use super::wait::{until, within};

/// Settings of every test's host; a test's own come on top.
const SETTINGS: &str = "[log]\njson = true\n";
const LOG_FILTER: &str = "info,skep=debug";

/// A folder of services and how to serve it. Outlives the host, which can be started on it again.
#[derive(Debug)]
pub(crate) struct Setup {
    folder: TempDir,
    settings: Table,
    cache: PathBuf,
    /// What is served, if it is not the folder of drop-ins.
    target: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    watches: bool,
    alone: bool,
    turn: Option<Turn>,
}

impl Setup {
    pub(super) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("skep-e2e-")
            .tempdir()
            .unwrap();
        for name in ["services", "incoming"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        // One for all tests, so that each guest is compiled once.
        let cache = root().join("target/e2e-cache");
        let settings = SETTINGS.parse().unwrap();
        Self {
            folder,
            settings,
            cache,
            target: None,
            environment: Vec::new(),
            watches: false,
            alone: false,
            turn: None,
        }
    }

    /// One more drop-in: `NAME.wasm`.
    pub(crate) fn and(self, name: &str, wasm: impl AsRef<Path>) -> Self {
        self.deploy(name, wasm);
        self
    }

    /// One more drop-in, of these bytes.
    pub(crate) fn component(self, name: &str, wasm: &[u8]) -> Self {
        self.put(&format!("{name}.wasm"), wasm);
        self
    }

    /// A drop-in's manifest: `NAME.toml`.
    pub(crate) fn manifest(self, name: &str, toml: &str) -> Self {
        self.put(&format!("{name}.toml"), toml);
        self
    }

    /// Host settings on top of the tests' own, as in `skep.toml`.
    pub(crate) fn settings(mut self, toml: &str) -> Self {
        merge(&mut self.settings, toml.parse().unwrap());
        self
    }

    /// What PATH is instead of the folder of drop-ins.
    pub(crate) fn serving(mut self, path: impl Into<PathBuf>) -> Self {
        self.target = Some(path.into());
        self
    }

    /// A variable in the host's own environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Sources are watched and built.
    pub(crate) fn watching(mut self) -> Self {
        self.watches = true;
        self.environment.extend(cargo_environment());
        self
    }

    /// A cache of its own, empty at first.
    pub(crate) fn cold(mut self) -> Self {
        self.cache = self.path().join("cache");
        self
    }

    /// No other test's host runs beside it: for tests that measure.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Starts the host and waits until it has looked at everything.
    pub(crate) async fn start(self) -> Host {
        let host = self.launch().await;
        until("/readyz to be 200", async || {
            (host.admin("/readyz").await.status() == 200).then_some(())
        })
        .await;
        host
    }

    /// Starts the host and waits only until it listens.
    pub(crate) async fn launch(mut self) -> Host {
        if self.turn.is_none() {
            self.turn = Some(Turn::take(self.alone).await);
        }
        let mut process = Process::start(self.command());
        let gateway = within("the gateway's address", process.address("listening")).await;
        let admin = within("the admin API's address", process.address("admin")).await;
        Host::new(self, process, gateway, admin)
    }

    /// `skep up` as [`Setup::launch`] runs it.
    pub(crate) fn command(&self) -> Command {
        let config = self.path().join("skep.toml");
        fs::write(&config, self.settings.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
        command
            .arg("up")
            .arg(self.target.clone().unwrap_or_else(|| self.services()))
            .args(self.watches.then_some("--watch"))
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--config")
            .arg(config)
            .arg("--state")
            .arg(self.path().join("state"))
            .arg("--cache")
            .arg(&self.cache)
            .env("SKEP_LOG", LOG_FILTER)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env_remove("RUST_LOG");
        command
    }

    /// Everything of this host lies here.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of drop-ins.
    pub(crate) fn services(&self) -> PathBuf {
        self.path().join("services")
    }

    /// Puts a component into the folder in one step, in the place of the one before.
    pub(crate) fn deploy(&self, name: &str, wasm: impl AsRef<Path>) {
        let incoming = self.path().join("incoming").join(name);
        fs::copy(wasm, &incoming).unwrap();
        fs::rename(&incoming, self.services().join(format!("{name}.wasm"))).unwrap();
    }

    /// Puts any file into the folder in one step.
    pub(crate) fn put(&self, file: &str, content: impl AsRef<[u8]>) {
        let incoming = self.path().join("incoming").join(file);
        fs::write(&incoming, content).unwrap();
        fs::rename(&incoming, self.services().join(file)).unwrap();
    }

    /// Takes a file out of the folder.
    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.services().join(file)).unwrap();
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
