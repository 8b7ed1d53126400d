//! What a service's configuration resolves to; the host's is in `settings`. What it refuses is in `messages`, what it survives in `hostile`.

mod auth;
mod build;
mod edge;
mod hostile;
mod messages;
mod proxied;
mod record;
mod rollout;
mod settings;
mod target;
mod tls;
mod tolerance;
mod websocket;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::service::target::Target;
use super::*;

/// A folder of configuration files; paths in errors are shown from it.
struct Folder(TempDir);

impl Folder {
    /// A folder with a `hello.wasm` in it.
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap()).with("hello.wasm", "")
    }

    fn with(self, file: &str, contents: impl AsRef<[u8]>) -> Self {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn service(&self, manifest: &str) -> Result<ServiceConfig, String> {
        service::from_manifest(&self.path(manifest), None).map_err(|error| self.shown(&error))
    }

    fn host(&self, path: &str) -> Result<HostConfig, String> {
        self.host_with(path, Overrides::default())
    }

    fn host_with(&self, path: &str, flags: Overrides) -> Result<HostConfig, String> {
        host::load(Some(&self.path(path)), flags)
            .map(|(config, _)| config)
            .map_err(|error| self.shown(&error))
    }

    /// The services that `skep.toml` lists: names, or errors with the name they are known by.
    fn listed(&self) -> Vec<Result<String, (String, String)>> {
        let (_, services) =
            host::load(Some(&self.path("skep.toml")), Overrides::default()).unwrap();
        services
            .into_iter()
            .map(|service| match service {
                Ok(service) => Ok(service.name.to_string()),
                Err((name, error)) => Err((name, self.shown(&error))),
            })
            .collect()
    }

    fn shown(&self, error: &ConfigError) -> String {
        let folder = format!("{}/", self.0.path().display());
        error.to_string().replace(&folder, "")
    }
}

fn paths(service: &ServiceConfig) -> Vec<&str> {
    service
        .routes
        .iter()
        .map(|route| route.path.as_str())
        .collect()
}

const FULL: &str = r#"
name = "inventory"
component = "hello.wasm"

[[route]]
host = "shop.example"
path = "/api/inventory/{*rest}"
methods = ["GET", "POST"]
strip_prefix = true

[[route]]
path = "/inventory"

[limits]
memory = "32MiB"
cpu = "250ms"
timeout = "1m30s"
concurrency = 8
queue = 16
body = "10KB"

[instances]
reuse = 128
concurrency = 16

[env]
LOG_LEVEL = "info"
LITERAL = "${HOME}"

[allow]
services = ["payment", "stock"]
hosts = ["https://api.example.com", "http://*.example.org:8080"]
"#;

#[test]
fn every_key_of_a_manifest_is_taken() {
    let folder = Folder::new().with("any.toml", FULL);
    let service = folder.service("any.toml").unwrap();
    assert_eq!(service.name.as_str(), "inventory");
    assert_eq!(service.target, Target::Component(folder.path("hello.wasm")));
    assert_eq!(paths(&service), ["/api/inventory/{*rest}", "/inventory"]);
    let route = &service.routes[0];
    assert_eq!(route.host.as_ref().unwrap().to_string(), "shop.example");
    let methods = route.methods.as_ref().unwrap();
    assert_eq!(
        methods.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        ["GET", "POST"]
    );
    assert!(route.strip_prefix && !service.routes[1].strip_prefix);
    let limits = &service.limits;
    assert_eq!((limits.memory, limits.body), (32 << 20, 10_000));
    assert_eq!(
        (limits.cpu, limits.timeout),
        (Duration::from_millis(250), Duration::from_secs(90))
    );
    assert_eq!((limits.concurrency, limits.queue), (8, 16));
    assert_eq!(
        service.instances,
        Instances {
            reuse: Some(128),
            concurrency: Some(16),
            step_down: Duration::from_secs(30),
        }
    );
    assert_eq!(service.env["LITERAL"], "${HOME}");
    assert_eq!(service.allow.services.len(), 2);
    assert_eq!(
        service.allow.hosts[1].to_string(),
        "http://*.example.org:8080"
    );
}

#[test]
fn an_empty_manifest_means_what_no_manifest_means() {
    let folder = Folder::new().with("hello.toml", "");
    let without = service::without_manifest(&folder.path("hello.wasm")).unwrap();
    assert_eq!(folder.service("hello.toml").unwrap(), without);
    assert_eq!(paths(&without), ["/hello", "/hello/", "/hello/{*rest}"]);
    assert!(without.env.is_empty() && without.allow == Allow::default());
}

#[test]
fn a_single_file_is_served_at_every_path() {
    let service = service::single(&Folder::new().path("hello.wasm")).unwrap();
    assert_eq!(
        (service.name.as_str(), paths(&service)),
        ("hello", vec!["/", "/{*rest}"])
    );
}

#[test]
fn the_name_is_the_manifests_then_the_callers_then_the_files() {
    let component = "component = 'hello.wasm'";
    let folder = Folder::new()
        .with("hello.toml", "")
        .with("folder/service.toml", component)
        .with("folder/hello.wasm", "")
        .with("named.toml", format!("name = 'mine'\n{component}"));
    assert_eq!(folder.service("hello.toml").unwrap().name.as_str(), "hello");
    assert_eq!(
        folder.service("folder/service.toml").unwrap().name.as_str(),
        "folder"
    );
    assert_eq!(folder.service("named.toml").unwrap().name.as_str(), "mine");
    let called = |file| {
        service::from_manifest(&folder.path(file), Some("called"))
            .unwrap()
            .name
    };
    assert_eq!(called("hello.toml").as_str(), "called");
    assert_eq!(called("named.toml").as_str(), "mine");
}

#[test]
fn a_symbolic_link_to_the_component_stays_one() {
    let folder = Folder::new()
        .with("elsewhere/v1.wasm", "")
        .with("linked.toml", "");
    std::os::unix::fs::symlink(folder.path("elsewhere/v1.wasm"), folder.path("linked.wasm"))
        .unwrap();
    let service = folder.service("linked.toml").unwrap();
    assert_eq!(
        service.target,
        Target::Component(folder.path("linked.wasm"))
    );
}

#[test]
fn variables_of_the_host_pass_only_by_name_and_are_overridden_by_set_ones() {
    let folder = Folder::new()
        .with(
            "hello.toml",
            "env_inherit = ['PATH', 'SKEP_NOT_SET', 'HOME']\n[env]\nHOME = 'set'",
        )
        .with("quiet.toml", "component = 'hello.wasm'");
    let env = folder.service("hello.toml").unwrap().env;
    assert_eq!(env["PATH"], std::env::var("PATH").unwrap());
    assert_eq!(env["HOME"], "set");
    assert_eq!(env.len(), 2);
    assert!(folder.service("quiet.toml").unwrap().env.is_empty());
}

#[test]
fn any_change_of_a_manifest_changes_what_is_serialised() {
    let serialised = |manifest: &str| {
        let folder = Folder::new().with("any.toml", manifest);
        let mut service = folder.service("any.toml").unwrap();
        service.target = Target::Component(PathBuf::from("/c.wasm"));
        serde_json::to_string(&service).unwrap()
    };
    let full = serialised(FULL);
    assert_eq!(full, serialised(&format!("# a comment\n{FULL}")));
    let built = "\n[build]\ncommand = 'make'\nwatch = 'src'\n";
    assert_eq!(full, serialised(&format!("{FULL}{built}")));
    for (from, to) in [
        ("shop.example", "*.shop.example"),
        ("\"POST\"", "\"PUT\""),
        ("strip_prefix = true", ""),
        ("32MiB", "33MiB"),
        ("250ms", "251ms"),
        ("reuse = 128", "reuse = 129"),
        ("\"info\"", "\"debug\""),
        ("\"stock\"", "\"stocks\""),
        ("https://api", "http://api"),
    ] {
        assert!(FULL.contains(from), "{from}");
        assert_ne!(full, serialised(&FULL.replace(from, to)), "{from}");
    }
}

#[test]
fn paths_without_a_folder_start_here() {
    assert!(matches!(
        service::from_manifest(Path::new("not-here.toml"), None),
        Err(ConfigError::Missing { path, .. }) if path.is_absolute()
    ));
}
