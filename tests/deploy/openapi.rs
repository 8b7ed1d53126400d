//! The admin API is what its document says: asked by a tool that reads the document and nothing else.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::guests::root;
use crate::support::wait::within;
use crate::support::{Host, guest};

/// Streams never end, and an artifact has the digest of its bytes, which no schema says.
const LEFT_OUT: [&str; 2] = ["/v1/logs", "/v1/artifacts/{digest}"];

#[tokio::test]
async fn every_answer_is_as_documented() {
    let host = Host::with("hello", guest("hello")).start().await;
    let program = root().join("target/tools/python/bin/schemathesis");
    assert!(
        program.is_file(),
        "no {}: run `cargo xtask setup` first",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg(format!("http://{}/v1/openapi.json", host.admin))
        .args(LEFT_OUT.iter().flat_map(|path| ["--exclude-path", path]))
        // What a schema can't say: names of services that there are, configurations that fit, generations.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args([
            "--max-examples",
            "15",
            "--phases",
            "examples,coverage,fuzzing",
            "--seed",
            "1",
        ])
        .args([
            "--request-timeout",
            "20",
            "--no-color",
            "--generation-database",
            "none",
        ])
        .current_dir(host.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = within("schemathesis to end", command.output())
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    host.stop().await;
}
