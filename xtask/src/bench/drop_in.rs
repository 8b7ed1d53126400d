//! From the moment a file is dropped into the folder to its service's first answer.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::contender::{distinct, host};
use super::report::Figures;
use super::server::{Server, status};
use super::{folder, guest};

/// Bytes of each component, padded.
const COMPONENT_BYTES: usize = 100 << 10;
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the service is asked.
const ASK: Duration = Duration::from_micros(200);

/// Drops components in that the host has never seen, then the same again.
pub(super) fn measure(bare: &Path, rounds: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let home = folder().join("drop-in");
    let services = home.join("services");
    fs::remove_dir_all(&home).ok();
    fs::create_dir_all(&services)?;
    fs::write(home.join("skep.toml"), "services = \"services\"\n")?;
    let hello = fs::read(guest("hello")?)?;
    // Of no earlier run.
    let run = std::time::SystemTime::UNIX_EPOCH.elapsed()?.subsec_micros() as usize * 1000;
    let server = Server::start("drop-ins", &|port| {
        let mut command = host(&home.join("skep.toml"), port)?;
        command.arg("--admin=127.0.0.1:0");
        Ok(command)
    })?;
    // The watcher is at work once a first service has come up.
    drop_in(&server, &services, "first", &hello)?;
    for round in 0..rounds * 5 {
        let name = format!("s{round}");
        let component = distinct(&hello, run + round, COMPONENT_BYTES);
        let cold = drop_in(&server, &services, &name, &component)?;
        figures.add("skep drop-in from source", "ms", cold);
        figures.add("cranelift", "ms", cranelift(bare, &component)?);
        fs::remove_file(services.join(&name).with_extension("wasm"))?;
        wait(&server, &name, 404)?;
        let warm = drop_in(&server, &services, &name, &component)?;
        figures.add("skep drop-in, compiled before", "ms", warm);
    }
    Ok(())
}

/// Milliseconds until the service answers.
fn drop_in(server: &Server, services: &Path, name: &str, component: &[u8]) -> anyhow::Result<f64> {
    let began = Instant::now();
    fs::write(services.join(name).with_extension("wasm"), component)?;
    wait(server, name, 200)?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

fn wait(server: &Server, name: &str, expected: u16) -> anyhow::Result<()> {
    let began = Instant::now();
    while status(server.address, &format!("/{name}/"))? != expected {
        ensure!(began.elapsed() < PATIENCE, "{name} is not {expected}");
        #[allow(
            clippy::disallowed_methods,
            reason = "nothing tells a client when a service is up"
        )]
        std::thread::sleep(ASK);
    }
    Ok(())
}

/// Milliseconds that the compiler itself takes for the component, with the host's settings and all processors.
fn cranelift(bare: &Path, component: &[u8]) -> anyhow::Result<f64> {
    let path = folder().join("drop-in/component.wasm");
    fs::write(&path, component)?;
    let output = Command::new(bare).arg("compile").arg(&path).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().context("the compiler's time")
}
