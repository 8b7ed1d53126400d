//! What a host is to serve, before it runs and after.

use std::collections::BTreeSet;
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
    flags: Vec<String>,
    alone: bool,
    turn: Option<Turn>,
    /// What a shell does before it becomes the host, in namespaces of its own.
    mounts: Option<String>,
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
            flags: Vec::new(),
            alone: false,
            turn: None,
            mounts: None,
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

    /// A flag of `skep up`.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A file beside `skep.toml`.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(name), content).unwrap();
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

    /// A cache in the state folder, where it is if nobody says otherwise.
    pub(crate) fn own_cache(mut self) -> Self {
        self.cache = self.state().join("cache");
        self
    }

    /// No other test's host runs beside it: for tests that measure.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Commands of a shell that the host is started after, as root of a namespace of its own: what they mount, the host
    /// alone sees. `$STATE` is the state folder. Not everywhere: see [`mounts_work`].
    pub(crate) fn mounting(mut self, commands: &str) -> Self {
        self.mounts = Some(commands.to_owned());
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
        let addresses = within("the host's addresses", process.addresses()).await;
        Host::new(self, process, &addresses)
    }

    /// `skep up` as [`Setup::launch`] runs it.
    pub(crate) fn command(&self) -> Command {
        let config = self.path().join("skep.toml");
        fs::write(&config, self.settings.to_string()).unwrap();
        let skep = env!("CARGO_BIN_EXE_skep");
        let mut command = match &self.mounts {
            None => Command::new(skep),
            Some(commands) => {
                let mut command = in_namespace(&format!("{commands}\nexec \"$@\""));
                command.args(["sh", skep]).env("STATE", self.state());
                command
            }
        };
        command
            .arg("up")
            .arg(self.target.clone().unwrap_or_else(|| self.services()))
            .args(self.watches.then_some("--watch"))
            .args(&self.flags)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--config")
            .arg(config)
            .arg("--state")
            .arg(self.state())
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

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The digests of the artifacts that the state folder has, and what else lies beside them.
    pub(crate) fn artifacts(&self) -> BTreeSet<String> {
        let files = fs::read_dir(self.state().join("artifacts")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let digest = |name: String| match name.strip_suffix(".wasm") {
            Some(hex) => format!("sha256:{hex}"),
            None => name,
        };
        names.map(digest).collect()
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

/// A shell that does this as root of a namespace of its own; arguments that are added are its `$0` and `$@`.
fn in_namespace(commands: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
    command.arg(commands);
    command
}

/// Whether this machine lets its users mount in namespaces of their own. Where it does not, that is said.
pub(crate) async fn mounts_work() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut command = in_namespace("mount -t tmpfs none \"$0\"");
    let output = within("unshare", command.arg(folder.path()).output()).await;
    match output {
        Ok(output) if output.status.success() => true,
        refused => {
            eprintln!(
                "NOT TESTED: this machine has no namespaces for its users to mount in: {refused:?}"
            );
            false
        }
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
