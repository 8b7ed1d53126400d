//! Who is measured: Skep in its configurations, native hyper as the limit, `wasmtime serve` as the nearest relative.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::Server;
use super::{folder, guest};
use crate::command::{self, cargo, root};

/// The version that the host pins; the peer must run the same runtime.
const WASMTIME: &str = "=48.0.8";

/// A server on a component.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    /// Whether it echoes bodies, to be measured in MB/s.
    pub(super) streams: bool,
    command: Make,
}

/// The command that serves at a port.
pub(super) type Make = Box<dyn Fn(u16) -> anyhow::Result<Command>>;

impl Contender {
    pub(super) fn new(name: &'static str, path: &'static str, command: Make) -> Self {
        Self {
            name,
            path,
            streams: false,
            command,
        }
    }

    /// In the order of a round.
    pub(super) fn all(wasmtime: &Path, bare_host: &Path) -> anyhow::Result<Vec<Self>> {
        let (hello, hello_p3, echo) = (guest("hello")?, guest("hello-p3")?, guest("echo")?);
        let p3 = ["-Sp3", "-Wcomponent-model-async"];
        let once = [
            "--max-instance-reuse-count=1",
            "--max-instance-concurrent-reuse-count=1",
        ];
        let quiet = "[log]\nrequests = false\n";
        let reused = "[instances]\nreuse = 100000\n";
        let fresh = "[instances]\nreuse = 1\n";
        let large = "[limits]\nbody = \"1GiB\"\ncpu = \"10s\"\ntimeout = \"60s\"\n";
        let p2 = |manifest, settings| skep("hello", &hello, manifest, settings);
        let skep_p3 = |manifest| skep("hello-p3", &hello_p3, manifest, "");
        let serve_p3 = |flags: &[&str]| serve(wasmtime, &hello_p3, &[&p3, flags].concat());
        let streams = |contender| Self {
            streams: true,
            ..contender
        };
        Ok(vec![
            Self::new("native hello", "/hello", native()),
            Self::new("bare p2 fresh", "/hello", bare(bare_host, &hello)),
            Self::new("skep p2 fresh, no request log", "/hello", p2("", quiet)),
            Self::new("skep p2 fresh", "/hello", p2("", "")),
            Self::new("skep p2 reused", "/hello", p2(reused, "")),
            Self::new("skep p3", "/hello-p3", skep_p3("")),
            Self::new("skep p3 fresh", "/hello-p3", skep_p3(fresh)),
            Self::new("serve p2 fresh", "/", serve(wasmtime, &hello, &[])),
            Self::new(
                "serve p2 reused",
                "/",
                serve(wasmtime, &hello, &["--max-instance-reuse-count=100000"]),
            ),
            Self::new("serve p3", "/", serve_p3(&[])),
            Self::new("serve p3 fresh", "/", serve_p3(&once)),
            streams(Self::new("native echo", "/echo", native())),
            streams(Self::new(
                "skep p3 echo",
                "/echo",
                skep("echo", &echo, large, ""),
            )),
        ])
    }

    /// Whether `wasmtime serve` serves it.
    pub(super) fn is_wasmtimes(&self) -> bool {
        self.name.starts_with("serve ")
    }

    pub(super) fn start(&self) -> anyhow::Result<Server> {
        Server::start(self.name, &self.command)
    }
}

pub(super) fn native() -> Make {
    Box::new(|port| {
        let mut command = Command::new(root().join("target/release/xtask"));
        command.args(["native", &port.to_string()]);
        Ok(command)
    })
}

fn bare(program: &Path, component: &Path) -> Make {
    let (program, component) = (program.to_owned(), component.to_owned());
    Box::new(move |port| {
        let mut command = Command::new(&program);
        command.arg(port.to_string()).arg(&component);
        Ok(command)
    })
}

pub(super) fn serve(wasmtime: &Path, component: &Path, flags: &[&str]) -> Make {
    let (wasmtime, component) = (wasmtime.to_owned(), component.to_owned());
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Box::new(move |port| {
        let mut command = Command::new(&wasmtime);
        command
            .args(["serve", "-Scli"])
            .args(&flags)
            .arg(format!("--addr=127.0.0.1:{port}"))
            .arg(&component);
        Ok(command)
    })
}

/// The host on one drop-in, as `skep up` runs it, with its log in a file.
pub(super) fn skep(
    name: &'static str,
    component: &Path,
    manifest: &'static str,
    settings: &'static str,
) -> Make {
    let component = component.to_owned();
    Box::new(move |port| {
        let home = folder().join("skep");
        let services = home.join("services");
        // A folder of an earlier contender.
        fs::remove_dir_all(&services).ok();
        fs::create_dir_all(&services)?;
        fs::copy(&component, services.join(name).with_extension("wasm"))?;
        fs::write(services.join(name).with_extension("toml"), manifest)?;
        fs::write(
            home.join("skep.toml"),
            format!("services = \"services\"\n{settings}"),
        )?;
        let mut command = host(&home.join("skep.toml"), port)?;
        command.arg("--admin=127.0.0.1:0");
        Ok(command)
    })
}

/// Where the text of hello's answer begins.
const TEXT: &[u8] = b"Hello from ";

/// A component of hello's kind with an answer and an image of its own, filled up to `bytes` if it is smaller.
pub(super) fn distinct(component: &[u8], number: usize, bytes: usize) -> Vec<u8> {
    let mut made = component.to_vec();
    let text = made.windows(TEXT.len()).position(|window| window == TEXT);
    if let Some(text) = text {
        made[text..text + TEXT.len()].copy_from_slice(format!("{number:>11}").as_bytes());
    }
    let padding = bytes.saturating_sub(component.len());
    // A custom section: id 0, size, and a name of one letter.
    made.push(0);
    let mut size = padding + 2;
    while size > 0x7f {
        made.push(size.to_le_bytes()[0] | 0x80);
        size >>= 7;
    }
    made.push(size.to_le_bytes()[0]);
    made.extend([1, b'n']);
    made.resize(made.len() + padding, 0);
    made
}

/// `skep up PATH`, with the bench's cache and a log in a file. Its admin API is where the caller puts it.
pub(super) fn host(path: &Path, port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(root().join("target/release/skep"));
    command
        .arg("up")
        .arg(path)
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg("--cache")
        .arg(folder().join("cache"))
        .stderr(fs::File::create(folder().join("skep.log"))?);
    Ok(command)
}

/// The program, once it is installed.
pub(super) fn wasmtime() -> PathBuf {
    home().join("bin/wasmtime")
}

fn home() -> PathBuf {
    folder().join("wasmtime")
}

/// Installs the peer under target/bench unless it is there.
pub(super) fn install_wasmtime(program: &Path) -> anyhow::Result<()> {
    if !program.exists() {
        println!("installing wasmtime-cli for comparison, which takes some minutes");
        let mut install = cargo(
            "",
            ["install", "wasmtime-cli", "--locked", "--version", WASMTIME],
        );
        install.args(["--no-default-features", "--features"]);
        install.arg("serve,run,cranelift,parallel-compilation,pooling-allocator,component-model,component-model-async");
        install.arg("--root").arg(home());
        install
            .arg("--target-dir")
            .arg(folder().join("wasmtime-build"));
        command::run(&mut install)?;
    }
    Ok(())
}
