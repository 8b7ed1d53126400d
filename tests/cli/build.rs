//! `skep build`: the component in its place, or why there is none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::support::verb::{command, run, skep_in};
use crate::support::{Sources, guest};

/// The folder of a service `made`, with what its manifest says of the build.
fn made(build: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = format!("name = \"made\"\ncomponent = \"out/made.wasm\"\n{build}");
    fs::write(folder.path().join("service.toml"), manifest).unwrap();
    fs::copy(guest("hello"), folder.path().join("source")).unwrap();
    folder
}

#[tokio::test]
async fn cargo_builds_what_has_a_cargo_toml_and_says_so_as_it_goes() {
    let sources = Sources::new("compiled").await;
    let said = skep_in(&sources.at("."), ["build"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.error.contains("Compiling compiled"), "{said:?}");
    assert!(
        said.output.starts_with("compiled.wasm  wasi:http 0.2"),
        "{said:?}"
    );
    assert!(said.output.contains("KiB  built in "), "{said:?}");

    let said = skep_in(
        sources.parent(),
        ["build", "compiled/service.toml", "--json"],
    )
    .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let report = said.json();
    let bytes = fs::metadata(sources.at("compiled.wasm")).unwrap().len();
    assert_eq!(report["name"], "compiled");
    assert_eq!(report["bytes"], bytes);
    assert_eq!(report["problems"].as_array().unwrap().len(), 0);
    let left: Vec<_> = fs::read_dir(sources.at(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // What does not compile leaves the component as it was.
    sources.edit("fn answer(", "fn anwser(");
    let said = skep_in(sources.parent(), ["build", "compiled"]).await;
    said.assert_refused(
        1,
        &[
            "cannot find function `answer`",
            "compiled was not built",
            "cargo build",
        ],
    );
    assert_eq!(said.output, "");
    assert_eq!(
        fs::metadata(sources.at("compiled.wasm")).unwrap().len(),
        bytes
    );

    let manifest = fs::read_to_string(sources.at("Cargo.toml")).unwrap();
    fs::write(sources.at("Cargo.toml"), manifest.replace("cdylib", "rlib")).unwrap();
    sources.edit("fn anwser(", "fn answer(");
    let said = skep_in(sources.parent(), ["build", "compiled"]).await;
    said.assert_refused(1, &["builds no component of it", "cdylib"]);
}

#[tokio::test]
async fn any_command_may_build() {
    for line in [
        "command = \"mkdir -p out && echo busy && cp source out/made.wasm\"",
        "command = [\"install\", \"-D\", \"source\", \"out/made.wasm\"]",
    ] {
        let folder = made(&format!("[build]\n{line}\n"));
        let said = skep_in(folder.path(), ["build", "--json"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.json()["kind"], "wasi:http 0.2 component", "{said:?}");
    }
}

#[tokio::test]
async fn why_there_is_no_component_is_said_with_what_to_do() {
    for (build, parts) in [
        (
            "",
            &["service.toml: does not say how", "Cargo.toml", "[build]"][..],
        ),
        (
            "[build]\ncommand = \"exit 3\"\n",
            &["made was not built", "`exit 3`", "3"],
        ),
        (
            "[build]\ncommand = \"true\"\n",
            &["`true` ended well", "out/made.wasm"],
        ),
        (
            "[build]\ncommand = [\"no-such-tool\"]\n",
            &["`no-such-tool` can't be started"],
        ),
        (
            "[build]\ncommand = 1\n",
            &["service.toml:4", "a line for the shell"],
        ),
        (
            "[build]\ncomand = \"true\"\n",
            &["service.toml:4", "did you mean \"command\"?"],
        ),
    ] {
        let said = skep_in(made(build).path(), ["build"]).await;
        said.assert_refused(1, parts);
        assert_eq!(said.output, "", "{said:?}");
    }
    let said = skep_in(Path::new("/"), ["build", "nowhere"]).await;
    said.assert_refused(1, &["nowhere", "does not exist", "skep new"]);
}

#[tokio::test]
async fn what_a_host_would_refuse_is_said_as_check_does() {
    let folder = made("[build]\ncommand = \"mkdir -p out && echo text > out/made.wasm\"\n");
    let said = skep_in(folder.path(), ["build"]).await;
    said.assert_refused(1, &["made.wasm", "error", "not WebAssembly"]);
    let said = skep_in(folder.path(), ["build", "--json"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.json()["problems"][0]["service"], "made", "{said:?}");
}

#[tokio::test]
async fn a_toolchain_without_the_target_is_told_apart() {
    let folder = made("");
    fs::write(folder.path().join("Cargo.toml"), "").unwrap();
    let tools = tempfile::tempdir().unwrap();
    for (tool, script) in [("cargo", "exit 101"), ("rustc", "echo /nowhere/lib")] {
        let path = tools.path().join(tool);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut build = command(folder.path(), ["build"]);
    build.env("PATH", tools.path());
    let said = run(build).await;
    said.assert_refused(1, &["rustup target add wasm32-wasip2"]);
    let mut build = command(folder.path(), ["build"]);
    build.env("PATH", "/nowhere");
    run(build).await.assert_refused(1, &["https://rustup.rs"]);
}
