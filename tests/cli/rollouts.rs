//! The example of rollouts: every command of its README, one after the other, while somebody asks all the time.

use std::fs;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::support::Host;
use crate::support::guests::{guest, probe, root};
use crate::support::wait::{until, within};

const FOLDER: &str = "examples/rollouts";
/// What the README has run before, and in other terminals.
const ELSEWHERE: [&str; 5] = [
    "cargo xtask guests",
    "cargo build --release",
    "mkdir -p target/rollouts",
    "target/release/skep up target/rollouts",
    "examples/rollouts/ask.sh",
];
/// The command that is to fail, and how.
const TAKEN_BACK: (&str, i32) = ("revision_errors.wasm --wait", 3);

/// The commands of the README.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(root().join(FOLDER).join("README.md")).unwrap();
    let blocks = readme.split("\n```sh\n").skip(1);
    blocks
        .flat_map(|rest| rest.split("\n```").next().unwrap().lines())
        .map(str::to_owned)
        .collect()
}

/// Runs one as it is printed, with this build and at the host's addresses.
async fn run(host: &Host, command: &str) -> String {
    let command = command
        .replace("target/release/skep", env!("CARGO_BIN_EXE_skep"))
        .replace("127.0.0.1:8080", &host.gateway.to_string());
    let mut shell = Command::new("sh");
    shell
        .args(["-ec", &command])
        .current_dir(root())
        .env("SKEP_ADMIN", format!("http://{}", host.admin))
        .env_remove("SKEP_ADMIN_TOKEN")
        .kill_on_drop(true);
    let output = within(&command, shell.output()).await.unwrap();
    let expected = if command.ends_with(TAKEN_BACK.0) {
        TAKEN_BACK.1
    } else {
        0
    };
    assert_eq!(
        output.status.code(),
        Some(expected),
        "{command}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Somebody who asks all the time.
fn asks(host: &Host) -> Child {
    Command::new(root().join(FOLDER).join("ask.sh"))
        .arg(format!("http://{}/", host.gateway))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_bad_version_is_taken_back_and_a_good_one_promoted_as_the_readme_says() {
    for built in [guest("hello"), guest("hello-p3"), probe("revision_errors")] {
        assert!(built.is_file());
    }
    let host = Host::empty().alone().start().await;
    let mut asks = asks(&host);
    let mut said = Vec::new();
    for command in commands() {
        if !ELSEWHERE.contains(&&*command) {
            let output = run(&host, &command).await;
            said.push((command, output));
        }
    }
    let find = |part: &str| {
        let found = said.iter().find(|(command, _)| command.contains(part));
        &found.unwrap_or_else(|| panic!("no {part}")).1
    };
    let aborted = find(TAKEN_BACK.0);
    assert!(aborted.contains("success rate"), "{aborted}");
    assert!(
        find(" ls").contains("revision 2 was rolled back: "),
        "{said:?}"
    );
    assert!(find(" events ").contains("rollout aborted"), "{said:?}");
    assert!(find("p3.wasm --wait").contains("promoted"), "{said:?}");
    let (last, history) = said.last().unwrap();
    assert!(
        last.contains("history") && history.contains("rolled back"),
        "{history}"
    );
    until("the last revision to answer", async || {
        let of_greeter = host.service("greeter").await;
        (of_greeter.revision > Some(3)).then_some(())
    })
    .await;
    assert!(
        host.get("/")
            .await
            .text()
            .starts_with("Hello from hello-p3")
    );
    asks.kill().await.unwrap();
    host.stop().await;
}
