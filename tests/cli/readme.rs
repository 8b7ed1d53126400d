//! What the README shows works: commands run, configurations are taken as they are printed, flags are those there are.

use std::fs;

use tokio::process::Command;

use crate::support::guest;
use crate::support::guests::root;
use crate::support::verb::{skep, skep_in};
use crate::support::wait::within;

/// Commands that prove the whole project, this test included, or build it in release: `.ci/run` is the place for them.
const NOT_FROM_HERE: [&str; 2] = ["cargo xtask demo --once", "cargo xtask test"];

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = readme();
    let begin = format!("\n```{language}\n");
    let rest = readme.split(&*begin).skip(1);
    rest.map(|rest| rest.split("\n```").next().unwrap().to_owned() + "\n")
        .collect()
}

#[tokio::test]
async fn every_command_runs() {
    let commands: Vec<String> = blocks("sh")
        .iter()
        .flat_map(|block| block.lines())
        .map(str::to_owned)
        .collect();
    for command in NOT_FROM_HERE {
        assert!(
            commands.iter().any(|found| found == command),
            "no {command}"
        );
    }
    for command in commands {
        if NOT_FROM_HERE.contains(&&*command) {
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-ec", &command]).current_dir(root());
        let output = within(&command, shell.output()).await.unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

#[tokio::test]
async fn every_configuration_is_taken_as_printed() {
    let blocks = blocks("toml");
    let [manifest, rollout, settings] = &*blocks else {
        panic!("two manifests and a skep.toml: {blocks:?}");
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::copy(guest("hello"), at("inventory.wasm")).unwrap();
    for manifest in [manifest, rollout] {
        fs::write(at("inventory.toml"), manifest).unwrap();
        let said = skep_in(folder.path(), ["check", "inventory.toml"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    fs::write(at("skep.toml"), settings).unwrap();
    let said = skep_in(folder.path(), ["check", "skep.toml"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[tokio::test]
async fn every_flag_is_in_the_help_and_the_other_way_round() {
    let readme = readme();
    for verb in [
        "up",
        "new",
        "build",
        "check",
        "ls",
        "deploy",
        "rollback",
        "promote",
        "pause",
        "resume",
        "abort",
        "rm",
        "history",
        "events",
        "logs",
        "top",
        "diff",
        "push",
        "pull",
        "completions",
    ] {
        let help = skep([verb, "--help"]).await.output;
        let flags = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        for flag in flags.map(|flag| flag.trim_end_matches(|end: char| !end.is_alphanumeric())) {
            let known = flag == "--help" || readme.contains(flag);
            assert!(known, "{flag} of `skep {verb}` is not in the README");
        }
    }
    let table = readme.lines().filter(|line| line.starts_with("| `--"));
    for row in table {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let flag = cells[1].trim_matches('`').split([' ', '`']).next().unwrap();
        for verb in cells[2]
            .split(',')
            .map(|verb| verb.trim().trim_matches('`'))
        {
            let help = skep([verb, "--help"]).await.output;
            assert!(help.contains(flag), "`skep {verb}` has no {flag}");
        }
    }
}
