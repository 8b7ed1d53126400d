//! The interfaces that the host gives to guests, by name, for the messages of the import check.
//!
//! The linker has the last word when a candidate is instantiated; this list never widens what it gives.

/// What may be imported, in a sentence.
pub(super) const OFFERED: &str = "the interfaces of wasi:cli, wasi:clocks, wasi:random, wasi:io and wasi:http \
     (0.2 or 0.3), and those of wasi:filesystem and wasi:sockets, in which it finds nothing";

const OFFERED_02: &[(&str, &[&str])] = &[
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
    ),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"]),
    ("wasi:filesystem", &["preopens", "types"]),
    ("wasi:http", &["outgoing-handler", "types"]),
    ("wasi:io", &["error", "poll", "streams"]),
    ("wasi:random", &["insecure", "insecure-seed", "random"]),
    (
        "wasi:sockets",
        &[
            "instance-network",
            "ip-name-lookup",
            "network",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];

const OFFERED_03: &[(&str, &[&str])] = &[
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
            "types",
        ],
    ),
    ("wasi:clocks", &["monotonic-clock", "system-clock", "types"]),
    ("wasi:filesystem", &["preopens", "types"]),
    ("wasi:http", &["client", "types"]),
    ("wasi:random", &["insecure", "insecure-seed", "random"]),
    ("wasi:sockets", &["ip-name-lookup", "types"]),
];

/// A version line of WASI; patch versions within one are compatible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// 0.2.x
    V02,
    /// 0.3.x
    V03,
}

/// `namespace:package/interface@version` taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interface<'a> {
    /// `namespace:package`
    pub(super) package: &'a str,
    /// The name within the package.
    pub(super) name: &'a str,
    /// `None` for other versions, release candidates among them, and for none.
    pub(super) line: Option<Line>,
}

impl<'a> Interface<'a> {
    /// `None` for a plain name or any other form that is not an interface's.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (name, None),
        };
        let (package, name) = path.split_once('/')?;
        package.contains(':').then(|| Self {
            package,
            name,
            line: version.and_then(line),
        })
    }

    /// Whether guests get it.
    pub(super) fn is_offered(&self) -> bool {
        let offered = match self.line {
            Some(Line::V02) => OFFERED_02,
            Some(Line::V03) => OFFERED_03,
            None => return false,
        };
        offered
            .iter()
            .any(|(package, names)| *package == self.package && names.contains(&self.name))
    }
}

/// `0.2` and `0.3` alone are the canonical names of the whole lines.
fn line(version: &str) -> Option<Line> {
    let (line, patch) = match version.strip_prefix("0.")?.split_once('.') {
        Some((line, patch)) => (line, patch),
        None => (version.strip_prefix("0.")?, "0"),
    };
    if patch.is_empty() || !patch.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match line {
        "2" => Some(Line::V02),
        "3" => Some(Line::V03),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_patch_of_both_lines_is_offered_and_nothing_else() {
        for name in [
            "wasi:http/types@0.2.0",
            "wasi:http/types@0.2.12",
            "wasi:http/types@0.3.7",
            "wasi:io/streams@0.2",
            "wasi:sockets/tcp@0.2.3",
        ] {
            assert!(Interface::parse(name).unwrap().is_offered(), "{name}");
        }
        for name in [
            "wasi:http/types",
            "wasi:http/types@0.4.0",
            "wasi:http/types@0.20.1",
            "wasi:http/types@1.2.3",
            "wasi:http/types@0.3.0-rc-2025-09-16",
            "wasi:http/types@0.2.",
            "wasi:io/streams@0.3.0",
            "wasi:keyvalue/store@0.2.0",
            "shop:inventory/stock@0.1.0",
        ] {
            assert!(!Interface::parse(name).unwrap().is_offered(), "{name}");
        }
        assert_eq!(Interface::parse("run"), None);
        assert_eq!(Interface::parse("a/b"), None);
    }
}
