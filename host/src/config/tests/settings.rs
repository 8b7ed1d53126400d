//! What the host's settings resolve to, and the services they list.

use super::*;
use crate::config::Role;

#[test]
fn a_folder_needs_no_settings() {
    let folder = Folder::new().with("services/hello.wasm", "");
    let config = folder.host("services").unwrap();
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.admin, "127.0.0.1:8081".parse().unwrap());
    assert!(config.tokens.are_none());
    assert_eq!(
        (config.state, config.cache),
        (folder.path(".skep"), folder.path(".skep/cache"))
    );
    assert_eq!(config.source, Source::Folder(folder.path("services")));
    assert_eq!(config.services, Some(folder.path("services")));
    let seconds = Duration::from_secs;
    assert_eq!(
        config.timeouts,
        Timeouts {
            header: seconds(10),
            body_idle: seconds(30),
            idle: seconds(60),
            drain: seconds(30)
        }
    );
    assert_eq!(
        (
            config.connections_max,
            config.header_bytes_max,
            config.headers_max
        ),
        (10_000, 65_536, 128)
    );
    assert_eq!(
        config.pool,
        Pool {
            instances: 2048,
            memory_max: 4 << 30
        }
    );
    assert_eq!(
        (config.compile.memory, config.compile.timeout),
        (4 << 30, seconds(120))
    );
    assert!(config.compile.parallel >= 1);
    assert_eq!(
        config.log,
        Log {
            requests: true,
            json: false
        }
    );
}

#[test]
fn path_may_be_a_single_component() {
    let folder = Folder::new();
    let config = folder.host("hello.wasm").unwrap();
    assert_eq!(config.source, Source::File(folder.path("hello.wasm")));
    assert_eq!(
        (config.state, config.services),
        (folder.path(".skep"), None)
    );
}

pub(super) const HOST: &str = r#"
listen = ["127.0.0.1:0", "[::1]:8080"]
admin = "0.0.0.0:9000"
admin_token_file = "secrets/token"
state = "var/state"
cache = "/var/cache/skep"
services = "drop"

[timeouts]
header = "1s"
body_idle = "2s"
idle = "3s"
drain = "4s"

[connections]
max = 5
header_bytes = "16KiB"
headers_max = 6

[pool]
instances = 7
memory_max = "128MiB"

[compile]
memory = "1GiB"
timeout = "8s"
parallel = 9

[log]
requests = false
json = true

[[service]]
component = "hello.wasm"
"#;

fn host_folder() -> Folder {
    Folder::new()
        .with("skep.toml", HOST)
        .with("secrets/token", "0123456789abcdef\n")
        .with("drop/other.wasm", "")
}

#[test]
fn every_key_of_the_hosts_settings_is_taken() {
    let folder = host_folder();
    let config = folder.host("skep.toml").unwrap();
    assert_eq!(
        config.listen,
        [
            "127.0.0.1:0".parse().unwrap(),
            "[::1]:8080".parse().unwrap()
        ]
    );
    assert_eq!(config.admin, "0.0.0.0:9000".parse().unwrap());
    let caller = config.tokens.identify("0123456789abcdef").unwrap();
    assert_eq!((caller.name.as_str(), caller.role), ("admin", Role::Admin));
    assert_eq!(
        (config.state, config.cache),
        (folder.path("var/state"), PathBuf::from("/var/cache/skep"))
    );
    assert_eq!(config.source, Source::Manifest(folder.path("skep.toml")));
    assert_eq!(config.services, Some(folder.path("drop")));
    let seconds = Duration::from_secs;
    assert_eq!(
        config.timeouts,
        Timeouts {
            header: seconds(1),
            body_idle: seconds(2),
            idle: seconds(3),
            drain: seconds(4)
        }
    );
    assert_eq!(
        (
            config.connections_max,
            config.header_bytes_max,
            config.headers_max
        ),
        (5, 16_384, 6)
    );
    assert_eq!(
        config.pool,
        Pool {
            instances: 7,
            memory_max: 128 << 20
        }
    );
    assert_eq!(
        config.compile,
        Compile {
            memory: 1 << 30,
            timeout: seconds(8),
            parallel: 9
        }
    );
    assert_eq!(
        config.log,
        Log {
            requests: false,
            json: true
        }
    );
    assert_eq!(folder.listed(), [Ok("hello".to_owned())]);
}

#[test]
fn flags_win_over_the_file() {
    let folder = host_folder();
    let flags = Overrides {
        config: None,
        listen: vec!["127.0.0.1:1".parse().unwrap()],
        tls_listen: Vec::new(),
        tls_self_signed: false,
        admin: Some("127.0.0.1:2".parse().unwrap()),
        state: Some(folder.path("s")),
        cache: Some(folder.path("c")),
    };
    let config = folder.host_with("skep.toml", flags).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(config.admin, "127.0.0.1:2".parse().unwrap());
    assert_eq!(
        (config.state, config.cache),
        (folder.path("s"), folder.path("c"))
    );
}

#[test]
fn a_settings_file_can_stand_beside_a_folder_or_alone() {
    let folder = Folder::new()
        .with("skep.toml", "[log]\njson = true")
        .with("drop/a.wasm", "");
    let flags = Overrides {
        config: Some(folder.path("skep.toml")),
        ..Overrides::default()
    };
    let config = folder.host_with("drop", flags.clone()).unwrap();
    assert_eq!(config.source, Source::Folder(folder.path("drop")));
    assert!(config.log.json);
    let (config, _) = host::load(None, flags.clone()).unwrap();
    assert_eq!(config.source, Source::Manifest(folder.path("skep.toml")));
    assert_eq!(folder.host_with("skep.toml", flags).unwrap(), config);
}

#[test]
fn one_bad_service_in_the_list_spoils_no_other() {
    let folder = Folder::new().with(
        "skep.toml",
        "[[service]]\nname = 'a'\ncomponent = 'hello.wasm'\n\
         [[service]]\nname = 'b'\ncomponent = 'hello.wasm'\nlimit = {}\n\
         [[service]]\nname = 'c'\ncomponent = 'hello.wasm'\nlimits.queue = 0\n\
         [[service]]\ncomponent = './hello.wasm'\n\
         [[service]]\nname = 'a'\ncomponent = 'hello.wasm'\n",
    );
    let error = |name: &str, message: &str| Err((name.to_owned(), message.to_owned()));
    assert_eq!(
        folder.listed(),
        [
            Ok("a".to_owned()),
            error(
                "service[1]",
                "skep.toml:7: unknown key \"limit\" in service[1]: did you mean \"limits\"?"
            ),
            error(
                "c",
                "skep.toml:11: service[2].limits.queue: must be between 1 and 1048576, not 0"
            ),
            Ok("hello".to_owned()),
            error(
                "a",
                "skep.toml:15: service[4].name: a service a is listed already: give this one another name"
            ),
        ]
    );
}

#[test]
fn the_operators_own_file_may_name_components_anywhere() {
    let folder = Folder::new().with(
        "deep/skep.toml",
        "[[service]]\ncomponent = '../hello.wasm'\n[[service]]\nname = 'b'\ncomponent = 'ABSOLUTE'",
    );
    let text = fs::read_to_string(folder.path("deep/skep.toml")).unwrap();
    let absolute = folder.path("hello.wasm");
    let folder = folder.with(
        "deep/skep.toml",
        text.replace("ABSOLUTE", absolute.to_str().unwrap()),
    );
    let (config, services) =
        host::load(Some(&folder.path("deep/skep.toml")), Overrides::default()).unwrap();
    assert_eq!(services.len(), 2);
    for service in &services {
        assert!(
            service
                .as_ref()
                .unwrap()
                .target
                .component()
                .unwrap()
                .is_file()
        );
    }
    let again = host::listed(&folder.path("deep/skep.toml"), &config.pool).unwrap();
    assert_eq!(again.len(), 2);
}

#[test]
fn every_address_but_loopback_needs_a_token() {
    let token = "admin_token = '0123456789abcdef'";
    for (admin, open) in [
        ("127.0.0.1:1", false),
        ("127.8.9.1:1", false),
        ("[::1]:1", false),
        ("0.0.0.0:1", true),
        ("[::]:1", true),
        ("192.168.1.5:1", true),
        ("[fe80::1]:1", true),
    ] {
        let host = |settings: String| Folder::new().with("skep.toml", settings).host("skep.toml");
        assert_eq!(host(format!("admin = '{admin}'")).is_err(), open, "{admin}");
        assert!(
            host(format!("admin = '{admin}'\n{token}")).is_ok(),
            "{admin}"
        );
    }
}

#[test]
fn any_two_ports_are_different_ones() {
    let folder = Folder::new().with("skep.toml", "listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'");
    assert!(folder.host("skep.toml").is_ok());
}

#[test]
fn a_list_of_services_has_a_bound() {
    let list = |count| {
        let folder = Folder::new().with("skep.toml", "[[service]]\n".repeat(count));
        host::load(Some(&folder.path("skep.toml")), Overrides::default()).is_ok()
    };
    assert!(list(host::LISTED_MAX));
    assert!(!list(host::LISTED_MAX + 1));
}
