//! What a call between two services adds to a request, beside what a hop over loopback adds to native hyper.

use std::fs;

use super::contender::{host, native};
use super::report::Figures;
use super::server::{Server, free_port};
use super::{folder, guest, load};

/// A service that calls another if it is told to, and the services that it may call.
const FRONT: &str = "[allow]\nservices = [\"fresh\", \"reused\"]\n";

/// Adds the figures to `figures`: microseconds that the hop adds to the median of one connection.
pub(super) fn measure(seconds: u32, rounds: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let home = folder().join("hop");
    let services = home.join("services");
    fs::remove_dir_all(&home).ok();
    fs::create_dir_all(&services)?;
    fs::copy(guest("probes/fetch")?, services.join("front.wasm"))?;
    fs::write(services.join("front.toml"), FRONT)?;
    fs::copy(guest("hello")?, services.join("fresh.wasm"))?;
    fs::copy(guest("hello")?, services.join("reused.wasm"))?;
    let reused = "[instances]\nreuse = 100000\n";
    fs::write(services.join("reused.toml"), reused)?;
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
        let admin = free_port()?;
        let skep = Server::start("hop", &|port| {
            let mut command = host(&home.join("skep.toml"), port)?;
            command.arg(format!("--admin={admin}"));
            Ok(command)
        })?;
        skep.ready(admin)?;
        for (name, callee) in [("skep hop, fresh", "fresh"), ("skep hop, reused", "reused")] {
            let path = format!("/front?url=http://{callee}.internal/");
            figures.add(name, "added µs", added(&skep, "/front", &path, seconds)?);
        }
    }
    Ok(())
}

/// Microseconds by which the median of one path is above that of another.
fn added(server: &Server, without: &str, with: &str, seconds: u32) -> anyhow::Result<f64> {
    let p50 = |path: &str| -> anyhow::Result<f64> {
        load::run(&server.url(path), 1, 1)?;
        Ok(load::run(&server.url(path), 1, seconds)?.p50_micros)
    };
    Ok(p50(with)? - p50(without)?)
}
