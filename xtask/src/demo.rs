//! The demo: the host on an example, in release unless told otherwise, and lines to try it with.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{self, cargo};
use crate::guests;

/// A folder of drop-ins.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Example {
    /// Services that need each other
    #[default]
    Shop,
    /// Services of every kind
    Hello,
}

impl Example {
    fn folder(self) -> &'static str {
        match self {
            Self::Shop => "examples/shop",
            Self::Hello => "examples/hello",
        }
    }
}

const ADMIN_DEFAULT: &str = "http://127.0.0.1:8081";

/// How long the host may take to compile the guests on a slow machine.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the host may take to say where it listens, and to answer about itself.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// Flags of `cargo xtask demo`.
#[derive(Args)]
pub(crate) struct Options {
    /// What to serve
    #[arg(value_enum, default_value_t)]
    example: Example,
    /// Run the printed lines, check their answers, stop the host (on ports of the system's choice)
    #[arg(long)]
    once: bool,
    /// Build and run the host in the dev profile, as the tests do: sooner built, slower at work
    #[arg(long)]
    dev: bool,
}

/// A profile of the host.
struct Build {
    /// What tells `cargo build` of it.
    flag: Option<&'static str>,
    /// What it makes, from the root.
    host: &'static str,
}

const RELEASE: Build = Build {
    flag: Some("--release"),
    host: "target/release/skep",
};
const DEV: Build = Build {
    flag: None,
    host: "target/debug/skep",
};

/// What `cargo xtask demo --once --dev` does, for every example.
pub(crate) fn once_in_dev() -> anyhow::Result<()> {
    let mut examples = Example::value_variants().iter();
    examples.try_for_each(|example| {
        run(&Options {
            example: *example,
            once: true,
            dev: true,
        })
    })
}

/// Builds what is missing, runs the host and prints the lines; returns when the host has ended.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let build = if options.dev { &DEV } else { &RELEASE };
    guests::build()?;
    command::run(cargo("", ["build", "--package", "skep", "--bin", "skep"]).args(build.flag))?;
    let mut host = Host::start(build, options)?;
    host.wait_ready()?;
    let lines = lines(&host, build, options.example);
    println!("\nTry it:\n");
    for line in &lines {
        println!("  {line}");
    }
    if options.once {
        println!();
        lines.iter().try_for_each(|line| check(line))?;
        return host.stop();
    }
    println!(
        "\nDrop another component into {}, or overwrite one, and it is served. Ctrl-C stops the host.\n",
        options.example.folder()
    );
    // The terminal sends Ctrl-C to the host too, which finishes its requests; this process waits for it.
    signal_hook::flag::register(
        signal_hook::consts::SIGINT,
        Arc::new(AtomicBool::new(false)),
    )?;
    ended(host.child.wait()?)
}

/// What to type, working as printed.
fn lines(host: &Host, build: &Build, example: Example) -> Vec<String> {
    let Host { listen, admin, .. } = host;
    let skep = build.host;
    let flag = if admin == ADMIN_DEFAULT {
        String::new()
    } else {
        format!(" --admin {admin}")
    };
    match example {
        Example::Shop => vec![
            format!("curl -i {listen}/"),
            format!("curl -i -X POST '{listen}/orders?sku=bread&count=2'"),
            format!("{skep} ls{flag}"),
            format!("{skep} ls --graph{flag}"),
        ],
        Example::Hello => vec![
            format!("curl -i {listen}/hello"),
            format!("curl -i '{listen}/hello-p3/any/path?and=query'"),
            format!("curl -i -d 'streamed back' {listen}/echo"),
            format!("curl -i -d 'on standard input' '{listen}/cgi/some/path?name=value'"),
            format!("{skep} ls{flag}"),
        ],
    }
}

/// Runs one of the lines; a `curl -i` must print a status of 200 or 201.
fn check(line: &str) -> anyhow::Result<()> {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(command::root())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start: {line}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    println!("$ {line}\n{text}");
    ensure!(
        output.status.success(),
        "failed ({}): {line}",
        output.status
    );
    ensure!(
        !line.starts_with("curl")
            || ["200", "201"]
                .iter()
                .any(|well| text.starts_with(&format!("HTTP/1.1 {well}"))),
        "not answered well: {line}"
    );
    Ok(())
}

/// A running host; killed when dropped.
struct Host {
    child: Child,
    listen: String,
    admin: String,
    /// Lines of its standard output; disconnected when it has ended.
    output: Receiver<String>,
}

impl Host {
    fn start(build: &Build, options: &Options) -> anyhow::Result<Self> {
        let mut up = Command::new(command::root().join(build.host));
        up.args(["up", options.example.folder()])
            .current_dir(command::root());
        if options.once {
            up.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        }
        let mut child = up
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start: {}", command::shown(&up)))?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("{line}");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut host = Self {
            child,
            listen: String::new(),
            admin: String::new(),
            output,
        };
        host.listen = host.address("listening ")?;
        host.admin = host.address("admin ")?;
        Ok(host)
    }

    /// The URL on the first line that starts with `label`.
    fn address(&mut self, label: &str) -> anyhow::Result<String> {
        loop {
            match self.output.recv_timeout(REPLY_TIMEOUT) {
                Ok(line) => {
                    if let Some(url) = line.strip_prefix(label) {
                        return Ok(url.trim_end_matches('/').to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("the host did not print `{label}http://…`"),
                Err(RecvTimeoutError::Disconnected) => bail!("the host ended before it listened"),
            }
        }
    }

    /// Returns once the host has looked at all that is in its folder.
    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while status(&self.admin, "/readyz")? != 200 {
            ensure!(
                Instant::now() < deadline,
                "the host is not ready after {READY_TIMEOUT:?}"
            );
            match self.output.recv_timeout(READY_INTERVAL) {
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the host ended before it was ready"),
            }
        }
        Ok(())
    }

    /// Asks the host to end and waits until it has.
    fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        ended(self.child.wait()?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both fail only if the host has ended already.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn ended(status: ExitStatus) -> anyhow::Result<()> {
    ensure!(status.success(), "the host ended with {status}");
    Ok(())
}

/// The status of `GET path` at an `http://` URL of an address.
fn status(url: &str, path: &str) -> anyhow::Result<u16> {
    let address: SocketAddr = url
        .trim_start_matches("http://")
        .parse()
        .with_context(|| format!("no address: {url}"))?;
    let mut stream = TcpStream::connect_timeout(&address, REPLY_TIMEOUT)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let status = response.split(' ').nth(1).unwrap_or_default();
    status
        .parse()
        .with_context(|| format!("no HTTP response from {url}{path}"))
}
