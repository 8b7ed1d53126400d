//! Many services in one host: how long it takes to start, what each costs when it is idle, and what their number does
//! to throughput.

use std::fs;
use std::path::{Path, PathBuf};

use super::contender::{distinct, host};
use super::report::Figures;
use super::server::{Server, free_port};
use super::{CONNECTIONS, folder, guest, load};

/// Bytes of each component, padded.
const COMPONENT_BYTES: usize = 100 << 10;

/// Adds the figures to `figures`.
pub(super) fn measure(
    services: usize,
    seconds: u32,
    rounds: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    println!("{services} services; the first run compiles each of them once");
    let home = folder().join("many");
    fs::remove_dir_all(&home).ok();
    let half = services / 2;
    let one = home.join("one");
    deploy(&one, 1)?;
    deploy(&home.join("half"), half)?;
    deploy(&home.join("all"), services)?;
    // The same work for the load generator.
    let spread = script(&home.join("spread.lua"), services)?;
    let always = script(&home.join("always.lua"), 1)?;
    // Fills the cache.
    drop(start(&home.join("all"))?);
    for _ in 0..rounds {
        let (of_one, _) = start(&one)?;
        let resident_of_one = of_one.resident()?;
        let base = load::run_with(
            &of_one.url("/"),
            CONNECTIONS,
            seconds,
            &["-s".as_ref(), always.as_ref()],
        )?;
        drop(of_one);
        let (of_half, took) = start(&home.join("half"))?;
        figures.add("skep start of half the services", "s", took);
        drop(of_half);
        let (of_all, took) = start(&home.join("all"))?;
        figures.add("skep start of all services", "s", took);
        let each = (of_all.resident()? - resident_of_one) as f64 / (services - 1) as f64;
        figures.add("skep idle service", "KiB", each / 1024.0);
        let all = load::run_with(
            &of_all.url("/"),
            CONNECTIONS,
            seconds,
            &["-s".as_ref(), spread.as_ref()],
        )?;
        figures.add("skep one service", "req/s", base.rate);
        figures.add("skep all services", "req/s", all.rate);
    }
    Ok(())
}

/// What has wrk ask each of so many services in turn.
fn script(path: &Path, services: usize) -> anyhow::Result<PathBuf> {
    let text = format!(
        "local n = 0\nrequest = function()\n  n = n + 1\n  return wrk.format(nil, '/s' .. (n % {services}) .. '/')\nend\n"
    );
    fs::write(path, text)?;
    Ok(path.to_owned())
}

/// The host on the services in `path` once it says that all of them are ready, and the seconds that it took.
fn start(path: &Path) -> anyhow::Result<(Server, f64)> {
    let settings = path.with_extension("toml");
    let admin = free_port()?;
    let server = Server::start("many services", &|port| {
        let mut command = host(&settings, port)?;
        command.arg(format!("--admin={admin}"));
        Ok(command)
    })?;
    let took = server.ready(admin)?;
    Ok((server, took))
}

/// As many drop-ins, each with an artifact of its own: hello, with a custom section that tells them apart.
fn deploy(path: &Path, services: usize) -> anyhow::Result<()> {
    fs::create_dir_all(path)?;
    let hello = fs::read(guest("hello")?)?;
    for index in 0..services {
        let component = distinct(&hello, index, COMPONENT_BYTES);
        fs::write(path.join(format!("s{index}.wasm")), component)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fs::write(
        path.with_extension("toml"),
        format!("services = \"{name}\"\n[log]\nrequests = false\n"),
    )?;
    Ok(())
}
