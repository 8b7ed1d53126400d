//! The host's process: started, signalled, waited for, and killed when a test is over.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::log::Log;

/// A running `skep`.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    pub(crate) log: Log,
}

/// Where a host listens.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) plain: Vec<SocketAddr>,
    pub(crate) tls: Vec<SocketAddr>,
    pub(crate) admin: Vec<SocketAddr>,
}

impl Process {
    /// Starts `command` and follows what it says.
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("skep can be started");
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let log = Log::follow(child.stderr.take().unwrap());
        Self { child, output, log }
    }

    /// What the first lines of standard output say of where it listens.
    pub(crate) async fn addresses(&mut self) -> Addresses {
        let mut addresses = Addresses::default();
        loop {
            let Some(line) = self.output.next_line().await.unwrap() else {
                self.log.ended().await;
                panic!(
                    "skep ended before it said where it listens:\n{}",
                    self.log.tail(20)
                );
            };
            let (label, address) = line.split_once("://").unwrap_or_default();
            let address = address.parse();
            let address = address.unwrap_or_else(|_| panic!("no address: {line:?}"));
            match label {
                "listening http" => addresses.plain.push(address),
                "listening https" => addresses.tls.push(address),
                "admin http" => {
                    addresses.admin.push(address);
                    return addresses;
                }
                _ => panic!("no address: {line:?}"),
            }
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.id();
        kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }

    /// Waits for its end, and for the last line of its log.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().await.unwrap();
        self.log.ended().await;
        status
    }
}
