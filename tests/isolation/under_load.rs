//! Each fault guest in turn under load beside a healthy service, which must not fail once, and whose p99 must stay
//! within twice that of its quiet phases.
//!
//! Quiet and loud phases alternate, so that what else the machine does hits both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use crate::support::guests::root;
use crate::support::load::{Figures, Load, Pressure, whole_200};
use crate::support::{Host, fault, guest};

/// Requests a second to the healthy service.
const RATE: u32 = 400;
/// Requests a second to the rogue.
const FAULT_RATE: u32 = 20;
const PHASE: Duration = Duration::from_millis(250);
/// Pairs of a quiet and a loud phase for each fault guest.
const PHASES: usize = 5;
const RATIO_MAX: f64 = 2.0;
/// A p99 up to this passes whatever the ratio: a tick of the kernel's scheduler, which a thread may have to wait behind
/// another.
const FLOOR: Duration = Duration::from_millis(5);
/// How often a fault is tried that seems to slow the healthy service: what the host does it does each time, what else
/// the machine does it does not.
const TRIES: u32 = 3;

/// Limits under which each fault comes several times in a phase.
const LIMITS: &str = "[limits]\ncpu = \"20ms\"\ntimeout = \"150ms\"\nconcurrency = 8\nqueue = 8\n";

#[tokio::test]
async fn no_fault_guest_under_load_slows_a_healthy_service() {
    let mut setup = Host::with("victim", guest("hello"))
        .settings("[log]\nrequests = false\n")
        .env("SKEP_LOG", "info")
        .alone();
    let faults = fault_guests();
    for name in &faults {
        let service = name.replace('_', "-");
        setup = setup
            .and(&service, fault(name))
            .manifest(&service, &manifest(name));
    }
    let host = setup.start().await;
    let load = Load::steady(host.gateway, "/victim", RATE, whole_200);
    let mut rows = Vec::new();
    for name in faults {
        rows.push(press(&host, &load, &name).await);
    }
    for _ in 1..TRIES {
        for row in rows.iter_mut().filter(|row| row.slowed()) {
            try_again(&host, &load, row).await;
        }
    }
    load.stop();

    println!(
        "{:<20} {:>9} {:>9} {:>6}  outcomes",
        "fault", "quiet p99", "loud p99", "ratio"
    );
    for row in &rows {
        println!("{row}");
    }
    for row in rows {
        assert_eq!(
            row.errors,
            Vec::<String>::new(),
            "{}: the healthy service failed",
            row.name
        );
        assert!(
            !row.slowed(),
            "{}: the healthy service was slowed: {row}",
            row.name
        );
    }
    host.stop().await;
}

struct Row {
    name: String,
    quiet: Duration,
    loud: Duration,
    outcomes: BTreeMap<String, u32>,
    errors: Vec<String>,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [quiet, loud] = [self.quiet, self.loud].map(|p99| p99.as_secs_f64() * 1e3);
        let (name, ratio, outcomes) = (&self.name, loud / quiet, &self.outcomes);
        write!(
            f,
            "{name:<20} {quiet:>6.2} ms {loud:>6.2} ms {ratio:>6.2}  {outcomes:?}"
        )
    }
}

impl Row {
    fn slowed(&self) -> bool {
        self.loud > self.quiet.mul_f64(RATIO_MAX).max(FLOOR)
    }
}

/// A while later: what slows a whole machine lasts for seconds.
async fn try_again(host: &Host, load: &Load, row: &mut Row) {
    println!("tried again: {row}");
    let errors = std::mem::take(&mut row.errors);
    *row = press(host, load, &row.name).await;
    row.errors.extend(errors);
}

/// Alternates quiet and loud phases.
async fn press(host: &Host, load: &Load, name: &str) -> Row {
    let (mut quiet, mut loud) = (Figures::default(), Figures::default());
    let mut outcomes = BTreeMap::new();
    let path = format!("/{}", name.replace('_', "-"));
    // What came between two faults' phases counts for errors alone.
    let mut errors = load.take().errors;
    for _ in 0..PHASES {
        sleep(PHASE).await;
        quiet.extend(load.take());

        let pressure = Pressure::steady(host.gateway, &path, FAULT_RATE);
        sleep(PHASE).await;
        loud.extend(load.take());
        for (outcome, count) in pressure.stop() {
            *outcomes.entry(outcome).or_default() += count;
        }
    }
    let [quiet_p99, loud_p99] = [&quiet, &loud].map(Figures::p99);
    errors.extend(quiet.errors);
    errors.extend(loud.errors);
    Row {
        name: name.to_owned(),
        quiet: quiet_p99,
        loud: loud_p99,
        outcomes,
        errors,
    }
}

fn manifest(name: &str) -> String {
    let env = match name {
        "calls_itself" => "[env]\nSELF_URL = \"http://denied.example/\"\n",
        _ => "",
    };
    format!("{LIMITS}{env}")
}

fn fault_guests() -> BTreeSet<String> {
    let files = std::fs::read_dir(root().join("guests/faults")).unwrap();
    let stem = |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.map(|entry| stem(entry.unwrap().path())).collect()
}
