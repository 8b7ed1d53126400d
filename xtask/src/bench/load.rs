//! Load: wrk for as many requests as can be, a constant rate of them, and one large body sent and read back.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// Bytes of the body that is echoed.
const BODY_BYTES: usize = 64 << 20;

/// What was seen of a load.
pub(super) struct Outcome {
    /// Requests a second.
    pub(super) rate: f64,
    /// Median latency in microseconds.
    pub(super) p50_micros: f64,
    /// The latency in microseconds that one request in a hundred is above.
    pub(super) p99_micros: f64,
}

/// Whether the load generator is there.
pub(super) fn check() -> anyhow::Result<()> {
    let found = Command::new("wrk").arg("--version").output();
    ensure!(
        found.is_ok(),
        "wrk is missing; install it, for instance with `apt-get install wrk`"
    );
    Ok(())
}

/// `GET url` on `connections` for `seconds`, from one thread.
pub(super) fn run(url: &str, connections: u32, seconds: u32) -> anyhow::Result<Outcome> {
    run_with(url, connections, seconds, &[])
}

/// As [`run`], with more of wrk's flags.
pub(super) fn run_with(
    url: &str,
    connections: u32,
    seconds: u32,
    flags: &[&OsStr],
) -> anyhow::Result<Outcome> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "--latency"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"));
    let output = wrk.args(flags).arg(url).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {text}");
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("{url} was not answered with 200 each time:\n{text}");
    }
    let after = |label: &str| -> anyhow::Result<&str> {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        Ok(line
            .with_context(|| format!("wrk did not say {label}: {text}"))?
            .trim())
    };
    Ok(Outcome {
        rate: after("Requests/sec:")?.parse()?,
        p50_micros: micros(after("50%")?)?,
        p99_micros: micros(after("99%")?)?,
    })
}

/// `GET path` so many times a second in all, on `connections` that are kept alive, for `seconds`. A latency counts from
/// when the request was due, however late it was sent (no coordinated omission).
pub(super) fn paced(
    address: SocketAddr,
    path: &str,
    (connections, per_second): (u32, u32),
    seconds: u32,
) -> anyhow::Result<Outcome> {
    let pause = Duration::from_secs(1) * connections / per_second;
    let requests = per_second * seconds / connections;
    let start = Instant::now() + Duration::from_millis(50);
    let latencies = thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|number| {
                let first = start + pause * number / connections;
                scope.spawn(move || client(address, path, (first, pause), requests))
            })
            .collect();
        let mut all = Vec::new();
        for client in clients {
            let latencies = client.join();
            all.extend(latencies.map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        anyhow::Ok(all)
    });
    let mut latencies = latencies?;
    latencies.sort_unstable();
    let rank = |percent: usize| {
        let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
        latencies
            .get(at)
            .map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    Ok(Outcome {
        rate: latencies.len() as f64 / start.elapsed().as_secs_f64(),
        p50_micros: rank(50),
        p99_micros: rank(99),
    })
}

/// The latencies of one connection's requests, the first of which is due then.
fn client(
    address: SocketAddr,
    path: &str,
    (first, pause): (Instant, Duration),
    requests: u32,
) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut buffer = vec![0; 16 << 10];
    let mut latencies = Vec::new();
    for number in 0..requests {
        let due = first + pause * number;
        wait_until(due);
        stream.write_all(request.as_bytes())?;
        let mut read = 0;
        while !is_whole(&buffer[..read])? {
            let more = stream.read(&mut buffer[read..])?;
            ensure!(more > 0, "the connection was cut");
            read += more;
        }
        latencies.push(due.elapsed());
    }
    Ok(latencies)
}

/// Whether this is an answer to its end; an error if it is not 200.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(false);
    };
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "answered otherwise: {head}"
    );
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.context("the answer says nothing of its length")?;
    Ok(body.len() >= length)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the rate is what is measured with"
)]
fn wait_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

fn micros(text: &str) -> anyhow::Result<f64> {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    bail!("no duration: {text}")
}

/// Megabytes a second (sent, and as many read back) of one body of 64 MiB.
pub(super) fn stream(address: SocketAddr, path: &str) -> anyhow::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let started = Instant::now();
    let mut sender = stream.try_clone()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {BODY_BYTES}\r\nconnection: close\r\n\r\n"
    );
    let sending = std::thread::spawn(move || -> std::io::Result<()> {
        sender.write_all(head.as_bytes())?;
        let part = vec![b'x'; 64 << 10];
        for _ in 0..BODY_BYTES / part.len() {
            sender.write_all(&part)?;
        }
        Ok(())
    });
    let mut read = 0;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            count => read += count,
        }
    }
    let took = started.elapsed();
    sending
        .join()
        .map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    ensure!(read >= BODY_BYTES, "only {read} bytes came back");
    Ok(BODY_BYTES as f64 / 1e6 / took.as_secs_f64())
}
