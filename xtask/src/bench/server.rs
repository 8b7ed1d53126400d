//! A server under test: started, waited for, killed when dropped.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::command;

const START_TIMEOUT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(2);

pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    /// When its process was started.
    started: Instant,
}

impl Server {
    /// Starts what `make` makes for a port that is free.
    pub(super) fn start(
        name: &str,
        make: &dyn Fn(u16) -> anyhow::Result<Command>,
    ) -> anyhow::Result<Self> {
        let port = free_port()?.port();
        let mut command = make(port)?;
        let started = Instant::now();
        let child = command
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            // Some take a backtrace for each request with it.
            .env_remove("RUST_BACKTRACE")
            .spawn()
            .with_context(|| format!("could not start {name}: {}", command::shown(&command)))?;
        let mut server = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            started,
        };
        while TcpStream::connect(server.address).is_err() {
            server.check(name)?;
        }
        Ok(server)
    }

    /// Waits until `GET path` is answered with 200.
    pub(super) fn wait_for(&mut self, path: &str) -> anyhow::Result<()> {
        while status(self.address, path).unwrap_or(0) != 200 {
            self.check(path)?;
        }
        Ok(())
    }

    /// Waits until the host whose admin API is at `admin` is ready; the seconds since its start.
    pub(super) fn ready(&self, admin: SocketAddr) -> anyhow::Result<f64> {
        while status(admin, "/readyz").unwrap_or(0) != 200 {
            ensure!(
                self.started.elapsed() < START_TIMEOUT,
                "the host does not become ready"
            );
            pause();
        }
        Ok(self.started.elapsed().as_secs_f64())
    }

    fn check(&mut self, what: &str) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server for {what} ended: {status}");
        }
        if self.started.elapsed() > START_TIMEOUT {
            bail!("the server for {what} does not answer");
        }
        pause();
        Ok(())
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Resident memory in bytes.
    pub(super) fn resident(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: u64 = kibibytes.context("no VmRSS")?.parse()?;
        Ok(kibibytes * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "nothing tells when another process listens"
)]
fn pause() {
    std::thread::sleep(POLL);
}

/// An address that nobody listens on.
pub(super) fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// The status of `GET path`.
pub(super) fn status(address: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(std::str::from_utf8(&head[9..])?.parse()?)
}

/// What `GET path` is answered with, head and all.
pub(super) fn answer(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
