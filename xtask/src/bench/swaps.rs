//! What swapping a service every few milliseconds does to the requests that it answers meanwhile.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::contender::host;
use super::report::Figures;
use super::server::{Server, answer, free_port};
use super::{folder, guest, load};

/// Connections of the load, and requests a second: a busy machine, not one that is full, whose latency would be that of
/// its queues.
const LOAD: (u32, u32) = (8, 2_000);
/// From one swap to the next.
const PAUSE: Duration = Duration::from_millis(20);
/// Two revisions by artifact.
const REVISIONS: [&str; 2] = ["probes/revision_a", "probes/revision_b"];
const PATH: &str = "/a?lines=1";

/// Adds the figures to `figures`. An answer that is not 200, or a connection that is cut, fails the bench.
pub(super) fn measure(seconds: u32, rounds: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let home = folder().join("swaps");
    let (services, beside) = (home.join("services"), home.join("next.wasm"));
    fs::remove_dir_all(&home).ok();
    fs::create_dir_all(&services)?;
    let [first, second] = REVISIONS.map(guest);
    let revisions = [fs::read(first?)?, fs::read(second?)?];
    let swap = |number: usize| -> anyhow::Result<()> {
        fs::write(&beside, &revisions[number % 2])?;
        Ok(fs::rename(&beside, services.join("a.wasm"))?)
    };
    swap(0)?;
    fs::write(
        home.join("skep.toml"),
        "services = \"services\"\n[log]\nrequests = false\n",
    )?;
    let admin = free_port()?;
    let skep = Server::start("swaps", &|port| {
        let mut command = host(&home.join("skep.toml"), port)?;
        command.arg(format!("--admin={admin}"));
        Ok(command)
    })?;
    skep.ready(admin)?;
    let address = skep.address;
    load::paced(address, PATH, LOAD, 1)?;
    for _ in 0..rounds {
        let quiet = load::paced(address, PATH, LOAD, seconds)?;
        let before = revision(admin)?;
        let over = AtomicBool::new(false);
        let during = thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                // What runs now has an odd number if it is the first of the two.
                for number in usize::try_from(before)?.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    swap(number)?;
                    pause();
                }
                anyhow::Ok(())
            });
            let during = load::paced(address, PATH, LOAD, seconds);
            over.store(true, Ordering::Relaxed);
            let swapped = swapping.join();
            swapped.map_err(|_| anyhow::anyhow!("swapping panicked"))??;
            during
        })?;
        let swaps = revision(admin)? - before;
        ensure!(swaps > 0, "nothing was swapped");
        figures.add("skep, quiet", "p99 µs", quiet.p99_micros);
        figures.add("skep, swapped every 20 ms", "p99 µs", during.p99_micros);
        figures.add("skep, quiet", "req/s", quiet.rate);
        figures.add("skep, swapped every 20 ms", "req/s", during.rate);
        let each_second = swaps as f64 / f64::from(seconds);
        figures.add("skep, swapped every 20 ms", "swaps/s", each_second);
    }
    Ok(())
}

/// The number of the running revision.
fn revision(admin: SocketAddr) -> anyhow::Result<u64> {
    let text = answer(admin, "/v1/services/a")?;
    let (_, body) = text.split_once("\r\n\r\n").context("no body")?;
    let detail: serde_json::Value = serde_json::from_str(body)?;
    detail["revision"].as_u64().context("no revision runs")
}

#[allow(
    clippy::disallowed_methods,
    reason = "the pause is what is measured with"
)]
fn pause() {
    thread::sleep(PAUSE);
}
