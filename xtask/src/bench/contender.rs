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

type Make = Box<dyn Fn(u16) -> anyhow::Result<Command>>;

impl Contender {
    /// In the order of a round.
    pub(super) fn all(serve: &Path) -> anyhow::Result<Vec<Self>> {
        let of_serve = |guest_name: &str, flags: &[&str]| -> anyhow::Result<Make> {
            let (serve, component) = (serve.to_owned(), guest(guest_name)?);
            let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
            Ok(Box::new(move |port| {
                let mut command = Command::new(&serve);
                command
                    .args(["serve", "-Scli"])
                    .args(&flags)
                    .arg(format!("--addr=127.0.0.1:{port}"))
                    .arg(&component);
                Ok(command)
            }))
        };
        let p3 = ["-Sp3", "-Wcomponent-model-async"];
        let p3_fresh = [
            p3[0],
            p3[1],
            "--max-instance-reuse-count=1",
            "--max-instance-concurrent-reuse-count=1",
        ];
        let reused = "[instances]\nreuse = 100000\n";
        let fresh = "[instances]\nreuse = 1\n";
        let echo = "[limits]\nbody = \"1GiB\"\ncpu = \"10s\"\ntimeout = \"60s\"\n";
        let contender = |name, path, command| Self {
            name,
            path,
            streams: false,
            command,
        };
        Ok(vec![
            contender("native hello", "/hello", native()),
            contender("skep p2 fresh", "/hello", skep("hello", "", "")?),
            contender(
                "skep p2 fresh, no request log",
                "/hello",
                skep("hello", "", "[log]\nrequests = false\n")?,
            ),
            contender("skep p2 reused", "/hello", skep("hello", reused, "")?),
            contender("skep p3", "/hello-p3", skep("hello-p3", "", "")?),
            contender("skep p3 fresh", "/hello-p3", skep("hello-p3", fresh, "")?),
            contender("serve p2 fresh", "/", of_serve("hello", &[])?),
            contender(
                "serve p2 reused",
                "/",
                of_serve("hello", &["--max-instance-reuse-count=100000"])?,
            ),
            contender("serve p3", "/", of_serve("hello-p3", &p3)?),
            contender("serve p3 fresh", "/", of_serve("hello-p3", &p3_fresh)?),
            Self {
                streams: true,
                ..contender("native echo", "/echo", native())
            },
            Self {
                streams: true,
                ..contender("skep p3 echo", "/echo", skep("echo", echo, "")?)
            },
        ])
    }

    pub(super) fn start(&self) -> anyhow::Result<Server> {
        Server::start(self.name, &self.command)
    }
}

fn native() -> Make {
    Box::new(|port| {
        let mut command = Command::new(root().join("target/release/xtask"));
        command.args(["native", &port.to_string()]);
        Ok(command)
    })
}

/// The host on one drop-in, as `skep up` runs it, with its log in a file.
fn skep(
    name: &'static str,
    manifest: &'static str,
    settings: &'static str,
) -> anyhow::Result<Make> {
    let component = guest(name)?;
    Ok(Box::new(move |port| {
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
        host(&home.join("skep.toml"), port)
    }))
}

/// `skep up PATH`, with the bench's cache and a log in a file.
pub(super) fn host(path: &Path, port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(root().join("target/release/skep"));
    command
        .arg("up")
        .arg(path)
        .arg(format!("--listen=127.0.0.1:{port}"))
        .args(["--admin=127.0.0.1:0", "--cache"])
        .arg(folder().join("cache"))
        .stderr(fs::File::create(folder().join("skep.log"))?);
    Ok(command)
}

/// Installs the peer under target/bench unless it is there.
pub(super) fn install_wasmtime() -> anyhow::Result<PathBuf> {
    let home = folder().join("wasmtime");
    let program = home.join("bin/wasmtime");
    if !program.exists() {
        println!("installing wasmtime-cli for comparison, which takes some minutes");
        let mut install = cargo(
            "",
            ["install", "wasmtime-cli", "--locked", "--version", WASMTIME],
        );
        install.args(["--no-default-features", "--features"]);
        install.arg("serve,run,cranelift,parallel-compilation,pooling-allocator,component-model,component-model-async");
        install.arg("--root").arg(&home);
        install
            .arg("--target-dir")
            .arg(folder().join("wasmtime-build"));
        command::run(&mut install)?;
    }
    Ok(program)
}
