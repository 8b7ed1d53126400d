//! `skep top`: what services do just now, from what a host has counted at two moments.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use skep_policy::duration;
use tokio::signal::unix::{SignalKind, signal};

use self::metrics::Counted;
use self::rates::Row;
use super::api::{Rollout, Service};
use super::client::{ClientError, Target};
use super::remote::Remote;
use super::{Failure, output_failed};
use crate::telemetry::log;

mod metrics;
mod rates;

const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_hours(1);
const ROWS_DEFAULT: usize = 24;

/// Arguments of `skep top`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print one table and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    remote: Remote,
}

/// One look.
#[derive(Debug)]
struct Sample {
    at: Instant,
    counted: BTreeMap<String, Counted>,
    rollouts: BTreeMap<String, Rollout>,
}

#[derive(Debug, Deserialize)]
struct Services {
    services: Vec<Service>,
}

/// One line of JSON.
#[derive(Debug, Serialize)]
struct Line<'r> {
    at_unix_ms: u64,
    interval_s: f64,
    services: &'r [Row],
}

/// Looks until it is told to stop, and prints what has happened in between.
///
/// # Errors
/// When the host can't be asked.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let output = io::stdout().lock();
    let is_live = output.is_terminal() && !args.remote.json && !args.once;
    let mut screen = Screen::new(output, is_live);
    args.remote.run(async |target| {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ClientError::Runtime)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(ClientError::Runtime)?;
        tokio::select! {
            biased;
            _ = interrupt.recv() => Ok(ExitCode::SUCCESS),
            _ = terminate.recv() => Ok(ExitCode::SUCCESS),
            ended = watch(args, target, &mut screen) => ended,
        }
    })
}

async fn watch(args: &Args, target: &Target, screen: &mut Screen<'_>) -> Result<ExitCode, Failure> {
    let mut before = sample(target).await?;
    loop {
        tokio::time::sleep(args.interval).await;
        let now = sample(target).await?;
        let interval = now.at - before.at;
        let rows = rates::between(&before, &now, interval);
        let printed = if args.remote.json {
            screen.json(&rows, interval)
        } else {
            screen.table(&rows)
        };
        match printed {
            Ok(()) if args.once => return Ok(ExitCode::SUCCESS),
            Ok(()) => before = now,
            Err(error) => return output_failed(error),
        }
    }
}

async fn sample(target: &Target) -> Result<Sample, ClientError> {
    let text = target.get("/metrics").await?;
    let at = Instant::now();
    let Services { services } = target.read("/v1/services").await?;
    let rollout = |service: Service| Some((service.name, service.rollout?));
    Ok(Sample {
        at,
        counted: metrics::read(&String::from_utf8_lossy(&text)),
        rollouts: services.into_iter().filter_map(rollout).collect(),
    })
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text).map_err(|error| error.to_string())?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Ok(interval);
    }
    Err("give a time from 100ms to 1h".to_owned())
}

/// Standard output. On a terminal each table takes the place of the one before it, and the cursor is hidden meanwhile.
struct Screen<'o> {
    output: StdoutLock<'o>,
    is_live: bool,
    /// Of the table that is shown.
    lines: usize,
}

impl<'o> Screen<'o> {
    fn new(mut output: StdoutLock<'o>, is_live: bool) -> Self {
        if is_live {
            // A terminal that takes nothing will say so when there is something to show.
            output.write_all(b"\x1b[?25l").ok();
        }
        Self {
            output,
            is_live,
            lines: 0,
        }
    }

    fn json(&mut self, rows: &[Row], interval: Duration) -> io::Result<()> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default().as_millis();
        let line = Line {
            at_unix_ms: u64::try_from(since).unwrap_or(u64::MAX),
            interval_s: interval.as_secs_f64(),
            services: rows,
        };
        serde_json::to_writer(&mut self.output, &line)?;
        writeln!(self.output)?;
        self.output.flush()
    }

    fn table(&mut self, rows: &[Row]) -> io::Result<()> {
        let height = rustix::termios::tcgetwinsize(&self.output);
        let height = height.map_or(0, |size| usize::from(size.ws_row));
        let height = match height {
            _ if !self.is_live => usize::MAX,
            0 => ROWS_DEFAULT,
            height => height,
        };
        let table = rates::render(rows, height, log::colours(&self.output));
        if self.is_live {
            self.output
                .write_all(redraw(&table, self.lines).as_bytes())?;
        } else {
            let gap = if self.lines > 0 { "\n" } else { "" };
            write!(self.output, "{gap}{table}")?;
        }
        self.lines = table.lines().count();
        self.output.flush()
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        if self.is_live {
            // Nobody is left to tell.
            self.output.write_all(b"\x1b[?25h").ok();
            self.output.flush().ok();
        }
    }
}

/// `table` over the one that is shown: up to its first line, each line cleared to its end, then the rest of the screen.
fn redraw(table: &str, shown: usize) -> String {
    let up = if shown > 0 {
        format!("\x1b[{shown}A\r")
    } else {
        String::new()
    };
    format!("{up}{}\x1b[J", table.replace('\n', "\x1b[K\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_drawn_over_the_one_before() {
        assert_eq!(redraw("a\nb\n", 0), "a\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(redraw("a\n", 2), "\x1b[2A\ra\x1b[K\n\x1b[J");
    }

    #[test]
    fn intervals_have_units_and_bounds() {
        assert_eq!(interval("500ms").unwrap(), Duration::from_millis(500));
        for text in ["", "1", "50ms", "2h", "soon"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
