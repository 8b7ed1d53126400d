//! The words of errors: where, what, and what to do. A change here is a change of what operators read.

use super::*;

/// Checks that `manifest` in `a.toml` is refused with `message`.
fn refused(manifest: &str, message: &str) {
    let folder = Folder::new().with("a.toml", manifest);
    assert_eq!(
        folder.service("a.toml").unwrap_err(),
        message,
        "\n{manifest}"
    );
}

/// The same for settings in `skep.toml`.
fn host_refused(settings: &str, message: &str) {
    let folder = Folder::new().with("skep.toml", settings);
    assert_eq!(
        folder.host("skep.toml").unwrap_err(),
        message,
        "\n{settings}"
    );
}

const C: &str = "component = 'hello.wasm'\n";

#[test]
fn unknown_keys_name_the_nearest_key_the_file_and_the_line() {
    for (manifest, message) in [
        (
            "nmae = 'x'",
            "a.toml:1: unknown key \"nmae\": did you mean \"name\"?",
        ),
        (
            "\n[limits]\n# most of it\nmemroy = '1MiB'",
            "a.toml:4: unknown key \"memroy\" in limits: did you mean \"memory\"?",
        ),
        (
            "[[route]]\npath = '/'\n[[route]]\npath = '/'\nstripprefix = true",
            "a.toml:5: unknown key \"stripprefix\" in route[1]: did you mean \"strip_prefix\"?",
        ),
        (
            "limits = { replicas = 3 }",
            "a.toml:1: unknown key \"replicas\" in limits: \
             the keys there are: memory, cpu, timeout, concurrency, queue, body, adaptive, priority",
        ),
        (
            "[instance]\nreuse = 1",
            "a.toml:1: unknown key \"instance\": did you mean \"instances\"?",
        ),
        (
            "allow.host = []",
            "a.toml:1: unknown key \"host\" in allow: did you mean \"hosts\"?",
        ),
        (
            "\"a\\nb`, expected `x\" = 1",
            "a.toml:1: unknown key \"a\\nb`, expected `x\": \
             the keys there are: name, component, upstream, preserve_host, upstream_ca, files, cache_control, spa, env_inherit, route, edge, limits, instances, env, allow, retry, breaker, rate_limit, fallback, health, callee, rollout, record, build",
        ),
    ] {
        refused(manifest, message);
    }
}

#[test]
fn values_of_a_wrong_type_say_the_right_one() {
    for (manifest, message) in [
        (
            "[limits]\nmemory = 64",
            "a.toml:2: limits.memory: invalid type: integer `64`, expected a size with its unit in quotes, \
             such as \"64MiB\"",
        ),
        (
            "[limits]\ncpu = 0.5",
            "a.toml:2: limits.cpu: invalid type: floating point `0.5`, expected a duration with its unit in \
             quotes, such as \"500ms\" or \"5s\"",
        ),
        (
            "[limits]\nqueue = 'many'",
            "a.toml:2: limits.queue: invalid type: string \"many\", expected a whole number from 0 to 4294967295",
        ),
        (
            "[limits]\nqueue = -1",
            "a.toml:2: limits.queue: invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
        ),
        (
            "limits = 1",
            "a.toml:1: limits: invalid type: integer `1`, expected a table",
        ),
        (
            "[route]\npath = '/'",
            "a.toml:1: route: invalid type: map, expected an array in [brackets]; \
             for an array of tables write [[double brackets]]",
        ),
        (
            "[[route]]\npath = '/'\nmethods = 'GET'",
            "a.toml:3: route[0].methods: invalid type: string \"GET\", expected an array in [brackets]",
        ),
        (
            "[[route]]\npath = '/'\nstrip_prefix = 'yes'",
            "a.toml:3: route[0].strip_prefix: invalid type: string \"yes\", expected true or false",
        ),
        (
            "[env]\nPORT = 80",
            "a.toml:2: env.PORT: invalid type: integer `80`, expected a string in quotes",
        ),
        (
            "[allow]\nservices = ['a', 2]",
            "a.toml:2: allow.services[1]: invalid type: integer `2`, expected a string in quotes",
        ),
        (
            "name = 1979-05-27",
            "a.toml:1: name: invalid type: map, expected a string in quotes",
        ),
    ] {
        refused(manifest, message);
    }
}

#[test]
fn bad_values_say_what_would_do() {
    for (manifest, message) in [
        (
            "[limits]\nmemory = '64'",
            "a.toml:2: limits.memory: \"64\" has no unit: write \"64MiB\", \"64KiB\" or \"64B\"",
        ),
        (
            "[limits]\nmemory = '5GiB'",
            "a.toml:2: limits.memory: must be between 64KiB and 4GiB, not 5GiB",
        ),
        (
            "[limits]\n\ntimeout = '2h'",
            "a.toml:3: limits.timeout: must be between 1ms and 1h, not 2h",
        ),
        (
            "[instances]\nreuse = 0",
            "a.toml:2: instances.reuse: must be between 1 and 1000000",
        ),
        (
            "[instances]\nreuse = 1\nconcurrency = 2",
            "a.toml:3: instances.concurrency: 2 requests at once need an instance that serves as many in its \
             life, but reuse is 1: raise reuse or lower concurrency",
        ),
        (
            "name = 'My App'",
            "a.toml:1: name: \"My App\" is not a service name: use 1 to 63 lower-case letters, digits and \
             hyphens, with no hyphen at either end, such as \"my-app\"",
        ),
        (
            "[[route]]\npath = '/{a'",
            "a.toml:2: route[0].path: path \"/{a\": { and } must pair up within a segment; \
             a literal brace is %7B or %7D",
        ),
        (
            "[[route]]\nhost = 'a:80'\npath = '/'",
            "a.toml:2: route[0].host: \"a:80\" names a port: hosts are matched without one; write \"a\"",
        ),
        (
            "[[route]]\npath = '/'\nmethods = [\n  'GET',\n  'post',\n]",
            "a.toml:5: route[0].methods[1]: methods are case-sensitive: write \"POST\", not \"post\"",
        ),
        (
            "[[route]]\npath = '/'\nmethods = []",
            "a.toml:3: route[0].methods: is empty: name a method, or leave it out for all",
        ),
        (
            "[[route]]\nhost = 'a'",
            "a.toml:1: route[0]: has no path: add `path = \"/{*rest}\"` or a narrower one",
        ),
        (
            "[allow]\nhosts = ['api.example.com']",
            "a.toml:2: allow.hosts[0]: \"api.example.com\" must start with https:// or http://, \
             as in \"https://api.example.com\"",
        ),
        (
            "[env]\n'A=B' = ''",
            "a.toml:2: env.\"A=B\": is no name of a variable: it must not be empty or hold = or a zero byte",
        ),
        (
            "env_inherit = ['']",
            "a.toml:1: env_inherit[0]: is no name of a variable: it must not be empty or hold = or a zero byte",
        ),
    ] {
        refused(manifest, message);
    }
}

#[test]
fn files_that_are_no_manifests_say_why() {
    for (manifest, message) in [
        (
            "name = 'a'\nname = 'b'",
            "a.toml:2: not valid TOML: duplicate key",
        ),
        (
            "\nname 'a'",
            "a.toml:2: not valid TOML: key with no value, expected `=`",
        ),
    ] {
        refused(manifest, message);
    }
    let folder = Folder::new()
        .with("a.toml", b"# ok\n# \xff\n")
        .with("b.toml", " ".repeat((1 << 20) + 1))
        .with("c.toml/file", "");
    for (file, message) in [
        (
            "a.toml",
            "a.toml:2: is not UTF-8 text: save the file as UTF-8",
        ),
        (
            "b.toml",
            "b.toml: is larger than 1048576 bytes: is it a configuration file?",
        ),
        (
            "c.toml",
            "c.toml: can't be read: check its permissions and that it is a file",
        ),
        (
            "d.toml",
            "d.toml: does not exist: create the file, or correct its path",
        ),
    ] {
        assert_eq!(folder.service(file).unwrap_err(), message);
    }
}

#[test]
fn components_that_are_not_there_or_not_reachable_say_where_they_were_looked_for() {
    refused(
        "# first\ncomponent = 'gone.wasm'",
        "a.toml:2: component \"gone.wasm\" does not exist (looked for gone.wasm): build it, or correct `component`",
    );
    refused(
        "",
        "a.toml: component \"a.wasm\" does not exist (looked for a.wasm): build it, or correct `component`",
    );
    for path in ["../hello.wasm", "/tmp/hello.wasm", "x/../hello.wasm"] {
        refused(
            &format!("component = '{path}'"),
            &format!(
                "a.toml:1: component: \"{path}\" leaves the manifest's folder: put the component beside the \
                 manifest (a symbolic link will do), or list the service in skep.toml"
            ),
        );
    }
    let folder = Folder::new().with("hello/service.toml", "");
    assert_eq!(
        folder.service("hello/service.toml").unwrap_err(),
        "hello/service.toml: names no component: add `component = \"my-service.wasm\"`"
    );
}

#[test]
fn file_names_that_are_no_service_names_say_what_would_be() {
    let rule = "use 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end, such as \"my-app\"";
    let folder = Folder::new().with("My_App.toml", C).with("My_App.wasm", "");
    assert_eq!(
        folder.service("My_App.toml").unwrap_err(),
        format!("My_App.toml: \"My_App\" is not a service name: {rule}; add `name = \"my-app\"`")
    );
    let error = service::without_manifest(&folder.path("My_App.wasm")).unwrap_err();
    assert_eq!(
        folder.shown(&error),
        format!(
            "My_App.wasm: \"My_App\" is not a service name: {rule}; \
             rename the file, or give it a manifest My_App.toml with `name = \"my-app\"`"
        )
    );
}

#[test]
fn the_hosts_settings_are_refused_as_clearly() {
    for (settings, message) in [
        (
            "lisen = []",
            "skep.toml:1: unknown key \"lisen\": did you mean \"listen\"?",
        ),
        (
            "[timeouts]\nbody-idle = '1s'",
            "skep.toml:2: unknown key \"body-idle\" in timeouts: did you mean \"body_idle\"?",
        ),
        (
            "listen = 8080",
            "skep.toml:1: listen: invalid type: integer `8080`, expected a string in quotes or an array of them",
        ),
        (
            "listen = ['127.0.0.1:1', 'localhost']",
            "skep.toml:1: listen[1]: \"localhost\" is no address: write an IP address and a port, \
             such as \"127.0.0.1:8080\" or \"[::1]:8080\"",
        ),
        (
            "listen = []",
            "skep.toml:1: listen: is empty: name an address, or leave it out",
        ),
        (
            "listen = '127.0.0.1:8081'\n",
            "skep.toml: admin: 127.0.0.1:8081 is where the gateway listens: give the admin API another address",
        ),
        (
            "\nadmin = '0.0.0.0:8081'",
            "skep.toml:2: admin: 0.0.0.0:8081 can be reached from other machines, so the admin API needs a \
             token: set admin_token or admin_token_file or add a [[token]] in skep.toml, or use 127.0.0.1",
        ),
        (
            "admin_token = 'secret'",
            "skep.toml:1: admin_token: a token is 16 to 1024 visible ASCII characters: \
             make one with `openssl rand -hex 32`",
        ),
        (
            "admin_token = 'x'\nadmin_token_file = 'y'",
            "skep.toml:2: admin_token_file: is given beside admin_token: leave out one of them",
        ),
        (
            "admin_token_file = 'gone'",
            "gone: does not exist: create the file, or correct its path",
        ),
        (
            "state = ''",
            "skep.toml:1: state: is no path: name a file or folder, or leave the key out",
        ),
        (
            "services = 'gone'",
            "skep.toml:1: services: gone is no folder: create it, or correct the path",
        ),
    ] {
        host_refused(settings, message);
    }
}

#[test]
fn the_hosts_figures_have_bounds() {
    for (settings, message) in [
        (
            "[pool]\ninstances = 0",
            "skep.toml:2: pool.instances: must be between 1 and 100000, not 0",
        ),
        (
            "[connections]\nheader_bytes = '1KiB'",
            "skep.toml:2: connections.header_bytes: must be between 8KiB and 1MiB, not 1KiB",
        ),
        (
            "[compile]\ntimeout = '1ms'",
            "skep.toml:2: compile.timeout: must be between 1s and 1h, not 1ms",
        ),
        (
            "service = 'x'",
            "skep.toml:1: service: invalid type: string \"x\", expected an array in [brackets]",
        ),
    ] {
        host_refused(settings, message);
    }
}

#[test]
fn a_service_larger_than_the_pools_instances_is_refused_with_both_figures() {
    let folder = Folder::new().with(
        "skep.toml",
        "[pool]\nmemory_max = '32MiB'\n[[service]]\ncomponent = 'hello.wasm'",
    );
    let message = "service hello: limits.memory is 64MiB, but the pool's instances have at most 32MiB: \
                   lower limits.memory, or raise pool.memory_max in skep.toml";
    assert_eq!(
        folder.listed(),
        [Err(("hello".to_owned(), message.to_owned()))]
    );
}

#[test]
fn listed_services_need_a_component_of_their_own() {
    let folder = Folder::new().with(
        "skep.toml",
        "\n[[service]]\nname = 'a'\n[[service]]\nname = 'b'\ncomponent = ''",
    );
    let error = |name: &str, message: &str| Err((name.to_owned(), message.to_owned()));
    assert_eq!(
        folder.listed(),
        [
            error(
                "a",
                "skep.toml:2: service[0]: names no component: add `component = \"my-service.wasm\"`"
            ),
            error(
                "b",
                "skep.toml:6: service[1].component: is no path: name a .wasm file"
            ),
        ]
    );
}

#[test]
fn paths_and_flags_that_do_not_go_together_are_refused() {
    let folder = Folder::new()
        .with("skep.toml", "services = '.'")
        .with("other.toml", "")
        .with("readme.txt", "")
        .with("drop/a.wasm", "");
    let with_config = Overrides {
        config: Some(folder.path("skep.toml")),
        ..Overrides::default()
    };
    for (path, flags, message) in [
        (
            "gone",
            Overrides::default(),
            "gone: does not exist: create the folder and drop .wasm files into it, \
             or name a folder, a skep.toml or a .wasm file",
        ),
        (
            "readme.txt",
            Overrides::default(),
            "readme.txt: is neither a folder of services, nor a skep.toml, nor a .wasm file: name one of these",
        ),
        (
            "other.toml",
            with_config.clone(),
            "PATH and --config are both configuration files: give only one of them",
        ),
        (
            "drop",
            with_config,
            "skep.toml:1: services: names services, and so does PATH: leave out one of them",
        ),
        (
            "drop",
            Overrides {
                admin: Some("0.0.0.0:1".parse().unwrap()),
                ..Overrides::default()
            },
            "--admin 0.0.0.0:1 can be reached from other machines, so the admin API needs a token: \
             set admin_token or admin_token_file or add a [[token]] in skep.toml, or use 127.0.0.1",
        ),
        (
            "drop",
            Overrides {
                listen: vec!["127.0.0.1:8081".parse().unwrap()],
                ..Overrides::default()
            },
            "admin: 127.0.0.1:8081 is where the gateway listens: give the admin API another address",
        ),
    ] {
        assert_eq!(folder.host_with(path, flags).unwrap_err(), message);
    }
}
