//! `[edge]` and what routes say beside their paths: what they come to, and the words of what is refused.

use super::super::edge::{EdgeConfig, RouteAnswer, RouteEdge, Setting};
use super::*;

fn edges(manifest: &str) -> Result<Vec<RouteEdge>, String> {
    let folder = Folder::new().with("hello.toml", manifest);
    folder.service("hello.toml").map(|service| service.edges)
}

#[test]
fn a_route_says_more_than_its_service_and_its_service_more_than_the_host() {
    let edges = edges(
        "[edge.maintenance]\n[edge.request_headers]\nremove = ['a']\n\
         [[route]]\npath = '/a'\n\
         [[route]]\npath = '/b'\n[route.edge]\noff = 'maintenance'\n\
         [[route]]\npath = '/c'\n[route.edge.request_headers]\nremove = ['c']\n",
    )
    .unwrap();
    let removed = |edge: &EdgeConfig| edge.request_headers.get().unwrap().remove.clone();
    let of_all = EdgeConfig {
        maintenance: edges[0].policies.maintenance.clone(),
        ..EdgeConfig::default()
    };
    assert_eq!(removed(&edges[0].policies), ["a"]);
    assert!(edges[0].policies.maintenance.get().is_some());
    assert_eq!(edges[1].policies.over(&of_all).maintenance, Setting::Off);
    assert_eq!(removed(&edges[1].policies), ["a"]);
    assert_eq!(removed(&edges[2].policies), ["c"]);
    assert_eq!(RouteEdge::default().policies.over(&of_all), of_all);
}

#[test]
fn what_says_nothing_of_its_routes_is_what_it_was_before_there_was_anything_to_say() {
    let edges = edges("[[route]]\npath = '/a'\n").unwrap();
    assert_eq!(edges, []);
    let folder = Folder::new();
    let config = service::without_manifest(&folder.path("hello.wasm")).unwrap();
    let kept = serde_json::to_value(&config).unwrap();
    assert_eq!(kept.get("edges"), None);
    assert_eq!(
        serde_json::from_value::<ServiceConfig>(kept).unwrap(),
        config
    );
}

#[test]
fn what_is_kept_of_a_route_reads_as_it_was() {
    let edges = edges(
        "[[route]]\npath = '/a/{x}'\nredirect = { to = '/b/{x}', status = 301 }\n\
         [route.edge.maintenance]\nexcept = ['10.0.0.0/8', '::1']\nbody = 'x'\n\
         [[route]]\npath = '/b/{*x}'\nrewrite = '/c/{x}'\n",
    )
    .unwrap();
    let kept = serde_json::to_string(&edges).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<RouteEdge>>(&kept).unwrap(),
        edges
    );
    assert!(matches!(
        edges[0].answer,
        Some(RouteAnswer::Redirect { status: 301, .. })
    ));
}

/// Manifests, and how what is said of them begins.
fn refused(cases: &[(&str, &str)]) {
    for (manifest, message) in cases {
        let error = edges(manifest).unwrap_err();
        assert!(error.starts_with(message), "\n{manifest}{error}");
    }
}

#[test]
fn what_is_refused_is_said_with_a_way_out() {
    refused(&[
        (
            "[edge]\noff = ['cros']\n",
            "hello.toml:2: edge.off[0]: \"cros\" is no policy",
        ),
        (
            "[edge]\noff = ['maintenance']\n[edge.maintenance]\n",
            "hello.toml:2: edge.off: turns maintenance off",
        ),
        (
            "[edge.request_headers]\n",
            "hello.toml:1: edge.request_headers: changes nothing",
        ),
        (
            "[edge.request_headers]\nset = { host = 'x' }\n",
            "hello.toml:2: edge.request_headers.set.host: \"host\" is the host's to say",
        ),
        (
            "[edge.request_headers]\nremove = ['X-Skep-Caller']\n",
            "hello.toml:2: edge.request_headers.remove[0]: \"x-skep-caller\" is the host's to say",
        ),
        (
            "[edge.response_headers]\nadd = { Connection = 'x' }\n",
            "hello.toml:2: edge.response_headers.add.Connection: \"Connection\" is the connection's",
        ),
        (
            "[edge.response_headers]\nadd = { a = \"b\\r\\nc\" }\n",
            "hello.toml:2: edge.response_headers.add.a: has a value that no header can have",
        ),
        (
            "[edge.maintenance]\nexcept = ['10.0.0.0/33']\n",
            "hello.toml:2: edge.maintenance.except[0]: \"10.0.0.0/33\" is no network",
        ),
        (
            "[edge.maintenance]\nretry_after = '8d'\n",
            "hello.toml:2: edge.maintenance.retry_after: must be at most 7 days",
        ),
        (
            "[edge.maintenance]\nfile = '../x'\n",
            "hello.toml:2: edge.maintenance.file: \"../x\" leaves the manifest's folder",
        ),
    ]);
}

#[test]
fn what_a_route_can_not_be_is_refused() {
    refused(&[
        (
            "[[route]]\npath = '/a'\nredirect = { status = 301 }\n",
            "hello.toml:3: route[0].redirect: leads nowhere",
        ),
        (
            "[[route]]\npath = '/a'\nredirect = { to = '/b', status = 200 }\n",
            "hello.toml:3: route[0].redirect.status: 200 sends nobody elsewhere",
        ),
        (
            "[[route]]\npath = '/{x}'\nredirect = { to = 'https://{x}/' }\n",
            "hello.toml:3: route[0].redirect.to: has a parameter before the path",
        ),
        (
            "[[route]]\npath = '/a'\nredirect = { to = '/b' }\nrespond = {}\n",
            "hello.toml:4: route[0].respond: is given beside redirect",
        ),
        (
            "[[route]]\npath = '/a'\nrespond = { stauts = 200 }\n",
            "hello.toml:3: unknown key \"stauts\" in route[0].respond: did you mean \"status\"?",
        ),
        (
            "[[route]]\npath = '/a'\nrespond = 200\n",
            "hello.toml:3: route[0].respond: invalid type: integer `200`, expected a table",
        ),
        (
            "[[route]]\npath = '/a'\nrespond = { status = 204, body = 'x' }\n",
            "hello.toml:3: route[0].respond.status: 204 has no body",
        ),
        (
            "[[route]]\npath = '/a'\nrewrite = '/b'\nrespond = {}\n",
            "hello.toml:3: route[0].rewrite: is for the service",
        ),
        (
            "[[route]]\npath = '/a'\nrewrite = '/b'\nstrip_prefix = true\n",
            "hello.toml:3: route[0].rewrite: is given beside strip_prefix",
        ),
        (
            "[[route]]\npath = '/a'\nrewrite = '/{b}'\n",
            "hello.toml:3: route[0].rewrite: \"b\" is no parameter of the route's path: it has none",
        ),
    ]);
}

#[test]
fn a_configuration_that_is_sent_names_no_file_of_the_host() {
    let name = skep_policy::name::ServiceName::try_from("a").unwrap();
    let folder = Folder::new();
    for (text, keys) in [
        ("[edge.maintenance]\nfile = 'x'\n", "edge.maintenance.file"),
        (
            "[[route]]\npath = '/'\nrespond = { file = 'x' }\n",
            "route[0].respond.file",
        ),
        ("[fallback]\nfile = 'x'\n", "fallback.file"),
    ] {
        let error = service::sent(&name, text, Some(&folder.path("hello.wasm"))).unwrap_err();
        let said = format!("{keys}: is not for a configuration that is sent");
        assert!(error.to_string().contains(&said), "{error}");
    }
}
