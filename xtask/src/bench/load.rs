//! Load: wrk for requests, and one large body sent and read back.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// Bytes of the body that is echoed.
const BODY_BYTES: usize = 64 << 20;

/// What wrk says.
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
    run_with(url, connections, seconds, None)
}

/// As [`run`], with a script that makes the requests.
pub(super) fn run_with(
    url: &str,
    connections: u32,
    seconds: u32,
    script: Option<&std::path::Path>,
) -> anyhow::Result<Outcome> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "--latency"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"));
    if let Some(script) = script {
        wrk.arg("-s").arg(script);
    }
    let output = wrk.arg(url).output()?;
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
