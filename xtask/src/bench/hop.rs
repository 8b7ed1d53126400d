//! What a call between two services adds to a request, beside what a hop over loopback adds to native hyper.

use std::fs;

use super::contender::{host, native};
use super::report::Figures;
use super::server::{Server, free_port};
use super::{folder, foreign, guest, load};

/// The services, each with its component and its manifest. Those in front call another if they are told to.
const SERVICES: [(&str, &str, &str); 5] = [
    (
        "front",
        "probes/fetch",
        "[allow]\nservices = [\"fresh\", \"reused\"]\n",
    ),
    ("fresh", "hello", ""),
    ("reused", "hello", REUSED),
    (
        "client",
        "probes/ledger_client",
        "[allow]\nservices = [\"ledger\"]\n",
    ),
    ("ledger", "probes/ledger_p2", REUSED),
];
const REUSED: &str = "[instances]\nreuse = 100000\n";
/// What is measured, the path that leads to a service in front, and the one that has it call another.
const HOPS: [(&str, &str, &str); 3] = [
    (
        "skep hop, fresh",
        "/front",
        "/front?url=http://fresh.internal/",
    ),
    (
        "skep hop, reused",
        "/front",
        "/front?url=http://reused.internal/",
    ),
    ("skep function, reused", "/client", "/client?how=well"),
];
/// Hops that a request makes, one after the other, so that a hop is more than what a median is rounded to.
pub(super) const HOPS_A_REQUEST: u32 = 16;

/// Adds the figures to `figures`: microseconds that the hop adds to the median of one connection.
pub(super) fn measure(seconds: u32, rounds: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let home = folder().join("hop");
    let services = home.join("services");
    fs::remove_dir_all(&home).ok();
    fs::create_dir_all(&services)?;
    for (name, component, manifest) in SERVICES {
        let file = services.join(name);
        fs::copy(guest(component)?, file.with_extension("wasm"))?;
        fs::write(file.with_extension("toml"), manifest)?;
    }
    fs::write(home.join("skep.toml"), "services = \"services\"\n")?;
    for _ in 0..rounds {
        let callee = Server::start("native", &native())?;
        let to = callee.address.port();
        let front = Server::start("native front", &|port| {
            let mut command = native()(port)?;
            command.arg(to.to_string());
            Ok(command)
        })?;
        let native_hop = added(&front, "/hello", "/hop", seconds)?;
        figures.add("native hop", "added µs", native_hop);
        drop((front, callee));
        if let Some(workerd) = foreign::workerd_hop(HOPS_A_REQUEST)? {
            let mut workerd = Server::start("workerd hop", &*workerd)?;
            workerd.wait_for("/hop")?;
            figures.add(
                "workerd hop",
                "added µs",
                added(&workerd, "/", "/hop", seconds)?,
            );
        }
        let admin = free_port()?;
        let skep = Server::start("hop", &|port| {
            let mut command = host(&home.join("skep.toml"), port)?;
            command.arg(format!("--admin={admin}"));
            Ok(command)
        })?;
        skep.ready(admin)?;
        for (name, without, with) in HOPS {
            let with = format!("{with}&times={HOPS_A_REQUEST}");
            figures.add(name, "added µs", added(&skep, without, &with, seconds)?);
        }
    }
    Ok(())
}

/// Microseconds that a hop adds: by which the median of one path is above that of another, divided by the hops.
fn added(server: &Server, without: &str, with: &str, seconds: u32) -> anyhow::Result<f64> {
    let p50 = |path: &str| -> anyhow::Result<f64> {
        load::run(&server.url(path), 1, 1)?;
        Ok(load::run(&server.url(path), 1, seconds)?.p50_micros)
    };
    Ok((p50(with)? - p50(without)?) / f64::from(HOPS_A_REQUEST))
}
