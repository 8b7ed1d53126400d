//! Proxies that are trusted, and the access log.

use skep_policy::access_log::Format;

use super::super::host::AccessLog;
use super::*;

fn host(settings: &str) -> Result<HostConfig, String> {
    Folder::new().with("skep.toml", settings).host("skep.toml")
}

#[test]
fn nobody_is_trusted_and_nothing_written_down_unless_it_is_said() {
    let config = host("").unwrap();
    assert_eq!((config.trusted_proxies, config.access_log), (vec![], None));
}

#[test]
fn networks_and_addresses_are_taken() {
    let config = host("trusted_proxies = ['10.0.0.0/8', '192.0.2.1', 'fd00::/8']\n").unwrap();
    let shown: Vec<_> = config
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]);
    let one = host("trusted_proxies = '192.0.2.1'\n").unwrap();
    assert_eq!(one.trusted_proxies.len(), 1);
}

#[test]
fn the_log_is_combined_unless_it_is_said() {
    for (format, expected) in [
        ("", Format::Combined),
        ("format = 'combined'", Format::Combined),
        ("format = 'common'", Format::Common),
        ("format = 'json'", Format::Json),
    ] {
        let settings = format!("[access_log]\nfile = 'log/access.log'\n{format}\n");
        let folder = Folder::new().with("skep.toml", settings);
        let expected = AccessLog {
            file: folder.path("log/access.log"),
            format: expected,
        };
        let config = folder.host("skep.toml").unwrap();
        assert_eq!(config.access_log, Some(expected));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (settings, expected) in [
        (
            "trusted_proxies = ['10.0.0.0/8', 'proxy']",
            "skep.toml:1: trusted_proxies[1]: \"proxy\" is no network",
        ),
        (
            "trusted_proxies = '10.0.0.0/33'",
            "\"10.0.0.0/33\" is no network",
        ),
        (
            "[access_log]\nformat = 'json'",
            "access_log.file: names no file",
        ),
        ("[access_log]\nfile = ''", "is no path"),
        (
            "[access_log]\nfile = 'a'\nformat = 'apache'",
            "skep.toml:3: access_log.format: \"apache\" is no format: write \"common\", \"combined\" or \"json\"",
        ),
        ("[access_log]\nfiles = 'a'", "files"),
    ] {
        let error = host(settings).unwrap_err();
        assert!(error.contains(expected), "{settings}: {error}");
    }
}
