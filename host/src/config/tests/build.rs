//! What `[build]` comes to; that it is no part of the service is shown by `any_change_of_a_manifest`.

use super::*;
use crate::config::build::{Build, How, Watched, load};

const NAMED: &str = "component = 'later.wasm'\n";

fn built(folder: &Folder, manifest: &str) -> Result<Option<Build>, String> {
    load(&folder.path(manifest)).map_err(|error| folder.shown(&error))
}

#[test]
fn a_command_or_a_cargo_toml_says_how_a_service_is_built() {
    let with = |more: &str| Folder::new().with("shop/service.toml", format!("{NAMED}{more}"));
    let how = |folder: &Folder| Some(built(folder, "shop/service.toml").unwrap()?.how);
    assert_eq!(how(&with("")), None);
    let cargo = with("").with("shop/Cargo.toml", "");
    assert_eq!(how(&cargo), Some(How::Cargo));
    let build = built(&cargo, "shop/service.toml").unwrap().unwrap();
    assert_eq!(build.name.as_str(), "shop");
    assert_eq!(build.component, cargo.path("shop/later.wasm"));
    assert!(build.watch.contains(&Watched::Path("src".into())));
    let make = with("[build]\ncommand = 'make all'").with("shop/Cargo.toml", "");
    assert_eq!(how(&make), Some(How::Shell("make all".to_owned())));
    let words = ["go", "build"].map(str::to_owned).to_vec();
    let go = with("[build]\ncommand = ['go', 'build']");
    assert_eq!(how(&go), Some(How::Program(words)));
}

#[test]
fn a_manifest_beside_others_is_built_by_a_command_only() {
    let folder = Folder::new()
        .with("Cargo.toml", "")
        .with("plain.toml", "component = 'hello.wasm'")
        .with("hello.toml", "[build]\ncommand = 'make'");
    assert_eq!(built(&folder, "plain.toml"), Ok(None));
    let build = built(&folder, "hello.toml").unwrap().unwrap();
    assert_eq!(build.component, folder.path("hello.wasm"));
}

#[test]
fn patterns_are_looked_for_in_the_folder_that_they_name() {
    let folder = Folder::new().with(
        "hello.toml",
        "[build]\ncommand = 'make'\nwatch = ['app.py', 'src/*.ts', 'src/**/*.ts', '*.go']",
    );
    let watch = built(&folder, "hello.toml").unwrap().unwrap().watch;
    let shown: Vec<_> = watch
        .iter()
        .map(|watched| match watched {
            Watched::Path(path) => (path.to_str().unwrap(), None),
            Watched::Files { base, is_deep, .. } => (base.to_str().unwrap(), Some(*is_deep)),
        })
        .collect();
    let expected = [
        ("app.py", None),
        ("src", Some(false)),
        ("src", Some(true)),
        ("", Some(false)),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn mistakes_are_told_by_a_deployment_as_well() {
    for (text, what) in [
        (
            "[build]\ncommand = ' '",
            "hello.toml:2: build.command: is no command",
        ),
        (
            "[build]\ncommand = []",
            "hello.toml:2: build.command: is no command",
        ),
        (
            "[build]\nwatch = ['']",
            "hello.toml:2: build.watch[0]: is no path",
        ),
        (
            "[build]\nwatch = ['a[']",
            "hello.toml:2: build.watch[0]: \"a[\" is no pattern",
        ),
        ("[build]\nwhat = 1", "hello.toml:2"),
    ] {
        let folder = Folder::new().with("hello.toml", text);
        for said in [
            folder.service("hello.toml").unwrap_err(),
            built(&folder, "hello.toml").unwrap_err(),
        ] {
            assert!(said.contains(what), "{text}: {said}");
        }
    }
    let folder = Folder::new().with(
        "skep.toml",
        "[[service]]\ncomponent = 'hello.wasm'\nbuild.command = 'make'",
    );
    let (name, said) = folder.listed().remove(0).unwrap_err();
    assert_eq!(name, "hello");
    assert!(said.contains("is for drop-ins"), "{said}");
}

#[test]
fn a_service_s_own_folder_is_that_service() {
    let folder = Folder::new()
        .with("shop/service.toml", NAMED)
        .with("drop-ins/a.wasm", "");
    for path in ["shop", "shop/service.toml"] {
        let config = folder.host(path).unwrap();
        assert_eq!(
            config.source,
            Source::Service(folder.path("shop/service.toml"))
        );
        assert_eq!(config.services, None);
        assert_eq!(config.state, folder.path(".skep"));
    }
    let config = folder.host("drop-ins").unwrap();
    assert_eq!(config.source, Source::Folder(folder.path("drop-ins")));
}
