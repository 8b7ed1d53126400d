//! What the operating system tells the host to do.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the host follows, from now on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// A signal that asks the host to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) name: &'static str,
    number: u8,
}

impl Signals {
    /// From now on signals wait to be followed, and end nothing by themselves.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until the host is asked to end; meanwhile, calls `rescan` for each SIGHUP.
    pub(super) async fn stop(&mut self, rescan: impl Fn()) -> Stop {
        loop {
            tokio::select! {
                biased;
                _ = self.interrupt.recv() => return Stop { name: "SIGINT", number: 2 },
                _ = self.terminate.recv() => return Stop { name: "SIGTERM", number: 15 },
                _ = self.hangup.recv() => {
                    tracing::info!(signal = "SIGHUP", "looking again at what there is to serve");
                    rescan();
                }
            }
        }
    }
}

impl Stop {
    /// What a shell reports of a process that the signal has ended.
    pub(super) fn exit_code(self) -> ExitCode {
        ExitCode::from(128 + self.number)
    }
}
