//! The log: structured events to standard error, as text or JSON, one line an event.
//!
//! Whoever logs never waits: lines go through a bounded queue to a thread of their own, and what a slow reader leaves no
//! room for is dropped and counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};

use indicatif::ProgressBar;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::util::SubscriberInitExt;

use self::fields::OneLine;
use crate::config;

mod fields;

/// The environment variable that says what is logged, as `tracing-subscriber`'s filters do: `debug`,
/// `info,skep::request=warn`, …
pub const FILTER_VARIABLE: &str = "SKEP_LOG";

/// Lines that may wait for standard error to take them.
const LINES_MAX: usize = 8192;
/// What is logged if nothing else is said. Of dependencies that say at `info` what only their developers want to know, only warnings;
/// `SKEP_LOG` may still ask for more.
const DEFAULT: &str = "info,wasmtime=warn,cranelift=warn,regalloc2=warn,hyper=warn,h2=warn,rustls=warn,notify=warn,mio=warn";

/// Bytes of lines that are written at once.
const WRITE_BYTES: usize = 64 << 10;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter can't be read.
    #[error(
        "{FILTER_VARIABLE}={filter:?} is no filter: write a level (error, warn, info, debug, trace), or target=level pairs with commas"
    )]
    Filter {
        /// What the variable says.
        filter: String,
        /// Why it can't be read.
        source: ParseError,
    },
    /// There is one already.
    #[error("the log was set up twice")]
    Twice,
}

/// Keeps the log going; what is still queued is written when this is dropped.
#[derive(Debug)]
pub struct LogGuard {
    dropped: Dropped,
    _worker: WorkerGuard,
}

impl LogGuard {
    /// How many lines were dropped.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }
}

/// Counts the lines for which standard error was too slow.
#[derive(Clone, Debug)]
pub struct Dropped(Option<ErrorCounter>);

impl Dropped {
    /// For a host that does not log.
    pub fn none() -> Self {
        Self(None)
    }

    /// Lines dropped since the start.
    pub fn lines(&self) -> usize {
        self.0.as_ref().map_or(0, ErrorCounter::dropped_lines)
    }
}

/// Sets up the process's log. Lines are written around `progress`, so that neither garbles the other.
///
/// # Errors
/// When `SKEP_LOG` can't be read or the log was set up before.
pub fn start(log: &config::Log, progress: ProgressBar) -> Result<LogGuard, LogError> {
    let filter = filter(std::env::var(FILTER_VARIABLE).ok().as_deref())?;
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("skep-log")
        .finish(Stderr {
            progress,
            lines: Vec::new(),
        });
    let dropped = Dropped(Some(writer.error_counter()));
    if log.json {
        json(filter, writer)
    } else {
        text(filter, writer, colours(&io::stderr()))
    }?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(LogGuard {
        dropped,
        _worker: worker,
    })
}

/// Whether `stream` wants colours: it is a terminal and nobody said `NO_COLOR` (<https://no-color.org>).
pub fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(given: Option<&str>) -> Result<EnvFilter, LogError> {
    let given = given.map(str::trim).filter(|given| !given.is_empty());
    let directives = given.map_or_else(|| DEFAULT.to_owned(), |given| format!("{DEFAULT},{given}"));
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    builder
        .parse(directives)
        .map_err(|source| LogError::Filter {
            filter: given.unwrap_or_default().to_owned(),
            source,
        })
}

fn json(filter: EnvFilter, writer: NonBlocking) -> Result<(), LogError> {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .json()
        .with_current_span(false)
        .with_span_list(false)
        .finish()
        .try_init()
        .map_err(|_| LogError::Twice)
}

fn text(filter: EnvFilter, writer: NonBlocking, colours: bool) -> Result<(), LogError> {
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colours)
        .fmt_fields(OneLine)
        .finish()
        .try_init()
        .map_err(|_| LogError::Twice)
}

/// Standard error beside a progress display. Lines are written together for as long as more of them wait.
struct Stderr {
    progress: ProgressBar,
    lines: Vec<u8>,
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.extend_from_slice(line);
        if self.lines.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(line.len())
    }

    /// Called when no line waits.
    fn flush(&mut self) -> io::Result<()> {
        // Whole lines only: the display is taken away and drawn again around them.
        let written = self
            .progress
            .suspend(|| io::stderr().write_all(&self.lines));
        self.lines.clear();
        written
    }
}

/// A panic is an event like any other; writing it to standard error could hold up the thread that panicked.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let detail = format!("panic: {}", panic.payload_as_str().unwrap_or("no message"));
    let location = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(target: "skep::panic", thread, location, detail, %backtrace, "the host has a bug");
    } else {
        tracing::error!(target: "skep::panic", thread, location, detail, "the host has a bug");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_widens_the_log_without_its_dependencies_noise() {
        for (given, expected) in [
            (None, "info"),
            (Some(" "), "info"),
            (Some("debug"), "debug"),
            (Some("skep=trace"), "skep=trace"),
        ] {
            let shown = filter(given).unwrap().to_string();
            assert!(
                shown.split(',').any(|directive| directive == expected),
                "{shown}"
            );
            assert!(
                shown.contains("wasmtime=warn") && shown.contains("h2=warn"),
                "{shown}"
            );
        }
        let asked = filter(Some("wasmtime=debug")).unwrap().to_string();
        assert!(
            asked.contains("wasmtime=debug") && !asked.contains("wasmtime=warn"),
            "{asked}"
        );
    }

    #[test]
    fn a_filter_that_can_not_be_read_is_named() {
        let error = filter(Some("loud=extremely")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("SKEP_LOG=\"loud=extremely\" is no filter"),
            "{error}"
        );
    }
}
