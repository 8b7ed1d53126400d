//! Guards the speed of decisions: counts their instructions under callgrind and compares them with their budgets.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::command::{self, bench};

/// The count between two runs that do a piece so many times more is free of what setting up costs.
const TIMES: (u32, u32) = (5, 55);

/// Counts every piece of host/policy/benches/instructions.rs.
pub(crate) fn check() -> anyhow::Result<()> {
    install_valgrind()?;
    let program = bench("skep-policy", "instructions")?;
    let listed = Command::new(&program).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let mut over = Vec::new();
    for line in listed.lines() {
        let (name, budget) = line.split_once(' ').context("a piece and its budget")?;
        let budget: u64 = budget.parse()?;
        let each = (count(&program, name, TIMES.1)? - count(&program, name, TIMES.0)?)
            / u64::from(TIMES.1 - TIMES.0);
        println!("{name:<32} {each:>10} of {budget:>10} instructions");
        if each > budget {
            over.push(format!(
                "{name} takes {each} instructions, its budget is {budget}"
            ));
        }
    }
    ensure!(!listed.is_empty(), "{} lists no pieces", program.display());
    ensure!(over.is_empty(), "{}", over.join("\n"));
    Ok(())
}

/// Instructions of a whole run.
fn count(program: &PathBuf, piece: &str, times: u32) -> anyhow::Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([piece, &times.to_string()]);
    let output = valgrind.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .filter(|_| output.status.success());
    let Some((_, collected)) = collected else {
        bail!("{} failed:\n{said}", command::shown(&valgrind));
    };
    Ok(collected.trim().parse()?)
}

fn install_valgrind() -> anyhow::Result<()> {
    if Command::new("valgrind").arg("--version").output().is_ok() {
        return Ok(());
    }
    println!("installing valgrind, which counts instructions");
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "valgrind"]);
    command::run(&mut install).context("valgrind is missing; install it")
}
