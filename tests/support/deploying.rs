//! What tests of deployments share: what the host says of candidates, its compile children, components that take long.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use wasm_encoder::{
    CodeSection, ComponentSection, Function, FunctionSection, Module, ModuleSection, TypeSection,
    ValType,
};

use super::host::Host;
use super::log::Line;
use super::setup::Setup;
use super::wait::until;

/// Functions of a heavy component's ballast, and statements of each: a second or so of compiling.
const HEAVY_FUNCTIONS: u32 = 100;
/// Of one that nothing compiles within a second or 256 MiB: few functions, since memory is held for each at work.
const HEAVIEST_FUNCTIONS: u32 = 8;
const HEAVIEST_STATEMENTS: u32 = 100_000;
const HEAVY_STATEMENTS: u32 = 1_000;

impl Host {
    /// Which revision answers at `path`, of a guest that tells.
    pub(crate) async fn revision_at(&self, path: &str) -> String {
        let answer = self.get(&format!("{path}?lines=1")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.text().trim().to_owned()
    }

    /// Waits until a candidate of `service` is refused with an error that says `what`, in the log and in the API.
    pub(crate) async fn refused_with(&self, service: &str, what: &str) -> Arc<Line> {
        let line = self
            .log_line(&format!("{service} refused: {what}"), |line| {
                line.says("deployment refused", service) && line.field("error").contains(what)
            })
            .await;
        assert_eq!(line.level(), "ERROR", "{}", line.text());
        until(
            &format!("the API to say of {service}: {what}"),
            async || {
                let services = self.services().await;
                let of_service = services.into_iter().find(|found| found.name == service)?;
                of_service.error?.contains(what).then_some(())
            },
        )
        .await;
        line
    }

    /// Waits until nothing is said against a service any more.
    pub(crate) async fn healed(&self, service: &str) {
        until(&format!("the error of {service} to be gone"), async || {
            let services = self.services().await;
            let of_service = services.into_iter().find(|found| found.name == service)?;
            of_service.error.is_none().then_some(())
        })
        .await;
    }

    /// Waits until nothing is served at `path`.
    pub(crate) async fn gone(&self, path: &str) {
        until(&format!("{path} to be gone"), async || {
            (self.get(path).await.status() == 404).then_some(())
        })
        .await;
    }

    /// Makes the host look at its files and waits until it has: a drop-in of its own comes and is served.
    pub(crate) async fn looked(&self, marker: &str) {
        self.deploy(marker, super::guest("hello"));
        self.promoted(marker, 1).await;
    }

    /// The names of all services that the host knows of.
    pub(crate) async fn names(&self) -> Vec<String> {
        let services = self.services().await.into_iter();
        services.map(|service| service.name).collect()
    }

    /// How often the log has said `message` about `service`.
    pub(crate) fn told(&self, message: &str, service: &str) -> usize {
        self.log.all(|line| line.says(message, service)).len()
    }

    /// The host's child that compiles, as soon as there is one.
    pub(crate) async fn compiler(&self) -> Pid {
        let host = self.id();
        until("a compile child", async || {
            children(host).into_iter().next()
        })
        .await
    }

    /// Whether a compile child runs.
    pub(crate) fn compiles(&self) -> bool {
        !children(self.id()).is_empty()
    }
}

impl Setup {
    /// Where a drop-in lies or is to lie.
    pub(crate) fn at(&self, file: impl AsRef<Path>) -> PathBuf {
        self.services().join(file)
    }
}

/// Sends any process a signal.
pub(crate) fn send(process: Pid, signal: Signal) {
    kill_process(process, signal).unwrap();
}

/// The children of a process that are not over.
fn children(parent: u32) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name before it may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let (state, of) = (fields.next()?, fields.next()?);
        (state != "Z" && of == parent.to_string()).then(|| Pid::from_raw(id))?
    });
    processes.collect()
}

/// A component with so much code beside its own that compiling it takes a second or so; another one for each `seed`.
pub(crate) fn heavy(wasm: impl AsRef<Path>, seed: u32) -> Vec<u8> {
    with_ballast(wasm, seed, HEAVY_FUNCTIONS, HEAVY_STATEMENTS)
}

/// A component that costs more to compile than the smallest limits allow.
pub(crate) fn heaviest(wasm: impl AsRef<Path>, seed: u32) -> Vec<u8> {
    with_ballast(wasm, seed, HEAVIEST_FUNCTIONS, HEAVIEST_STATEMENTS)
}

fn with_ballast(wasm: impl AsRef<Path>, seed: u32, functions: u32, statements: u32) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([ValType::I64], [ValType::I64]);
    let mut declared = FunctionSection::new();
    let mut code = CodeSection::new();
    for function in 0..functions {
        declared.function(0);
        let mut body = Function::new([(2, ValType::I64)]);
        for step in 0..statements {
            body.instructions()
                .local_get(0)
                .i64_const(i64::from(seed ^ function ^ step))
                .i64_mul()
                .local_get(step % 3)
                .i64_rotl()
                .local_set((step + 1) % 3);
        }
        body.instructions().local_get(1).end();
        code.function(&body);
    }
    module.section(&types).section(&declared).section(&code);
    let mut bytes = fs::read(wasm).unwrap();
    ModuleSection(&module).append_to_component(&mut bytes);
    bytes
}
