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

    /// The address on the next line of standard output, which starts with `label`.
    pub(crate) async fn address(&mut self, label: &str) -> SocketAddr {
        let Some(line) = self.output.next_line().await.unwrap() else {
            self.log.ended().await;
            panic!(
                "skep ended before it said `{label} …`:\n{}",
                self.log.tail(20)
            );
        };
        let url = line.strip_prefix(&format!("{label} http://"));
        let url = url.unwrap_or_else(|| panic!("`{label} http://…` expected, not {line:?}"));
        url.trim_end_matches('/').parse().unwrap()
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
