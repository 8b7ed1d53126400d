//! What a component in a registry is called: `HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use skep_policy::quote::quoted;

use crate::deploy::compile::{Digest, NotADigest};

/// What may stand before a reference, so that it is not taken for a file.
const PREFIXES: [&str; 2] = ["oci://", "oci:"];
/// The tag of a reference that names none.
const TAG_DEFAULT: &str = "latest";
const TAG_CHARS_MAX: usize = 128;
const REPOSITORY_CHARS_MAX: usize = 255;
/// Docker Hub answers the protocol at another name than it is known by.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// A place in a registry. Its text has no `oci:` in front, so that other tools take it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Reference {
    host: String,
    repository: String,
    version: Version,
}

/// Which of the images in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Version {
    /// The one that has this name now.
    Tag(String),
    /// The one whose manifest has this digest.
    Digest(Digest),
}

/// Why a text is no reference.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ReferenceError {
    #[error(
        "{} names no registry: write HOST/REPOSITORY:TAG, such as registry.example/team/inventory:1.0",
        quoted(.0)
    )]
    NoRegistry(String),
    #[error(
        "{} is no registry's address: write a host's name or address, and a port if it isn't 443, without http://",
        quoted(.0)
    )]
    Host(String),
    #[error(
        "{} is no repository: write lower-case letters and digits, in between also . _ - and /",
        quoted(.0)
    )]
    Repository(String),
    #[error(
        "{} is no tag: write at most {TAG_CHARS_MAX} letters, digits, . _ and -, not starting with . or -",
        quoted(.0)
    )]
    Tag(String),
    #[error("{} names a digest, which follows from what is pushed: name a tag", quoted(.0))]
    NoTag(String),
    #[error("what follows the @ is no digest")]
    Digest(#[from] NotADigest),
}

impl Reference {
    /// The registry, as it is known to people and to Docker's configuration.
    pub(in crate::cli) fn host(&self) -> &str {
        &self.host
    }

    /// Within the registry.
    pub(in crate::cli) fn repository(&self) -> &str {
        &self.repository
    }

    pub(in crate::cli) fn version(&self) -> &Version {
        &self.version
    }

    /// The same repository's image with this manifest.
    pub(super) fn at(&self, digest: Digest) -> Self {
        Self {
            version: Version::Digest(digest),
            ..self.clone()
        }
    }

    /// Where `cosign sign` puts the signatures of the same repository's image with this manifest.
    pub(super) fn signatures_of(&self, image: Digest) -> Self {
        Self {
            version: Version::Tag(format!("sha256-{}.sig", image.hex())),
            ..self.clone()
        }
    }

    /// Where the registry is asked; without a slash at the end. Only this machine's are asked without TLS.
    pub(super) fn origin(&self) -> String {
        let host = match self.host.as_str() {
            DOCKER_HUB => DOCKER_HUB_API,
            host => host,
        };
        let scheme = if is_loopback(split_port(host).0) {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{host}")
    }
}

/// Whether a host is this machine for certain, by its name alone. IPv6 addresses are in brackets.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bare = PREFIXES
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .unwrap_or(text);
        let no_registry = || ReferenceError::NoRegistry(text.to_owned());
        let (host, rest) = bare.split_once('/').ok_or_else(no_registry)?;
        if host.ends_with(':') {
            return Err(ReferenceError::Host(bare.to_owned()));
        }
        // Docker's rule: anything else is a part of a repository's name.
        if !host.contains(['.', ':']) && host != "localhost" {
            return Err(no_registry());
        }
        if !is_address(host) {
            return Err(ReferenceError::Host(host.to_owned()));
        }
        let (named, digest) = match rest.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse()?)),
            None => (rest, None),
        };
        let (repository, tag) = match named.split_once(':') {
            Some((repository, tag)) => (repository, tag),
            None => (named, TAG_DEFAULT),
        };
        if !is_repository(repository) {
            return Err(ReferenceError::Repository(repository.to_owned()));
        }
        if !is_tag(tag) {
            return Err(ReferenceError::Tag(tag.to_owned()));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            repository: repository.to_owned(),
            version: digest.map_or_else(|| Version::Tag(tag.to_owned()), Version::Digest),
        })
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

fn is_address(host: &str) -> bool {
    let (name, port) = split_port(host);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let v6 = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_name = match v6 {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.split('.').all(is_label),
    };
    is_name && port.is_none_or(is_port)
}

fn is_repository(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        part.bytes()
            .all(|byte| is_plain(byte) || b"._-".contains(&byte))
            && part.bytes().next().is_some_and(is_plain)
            && part.bytes().last().is_some_and(is_plain)
    };
    text.len() <= REPOSITORY_CHARS_MAX && text.split('/').all(is_part)
}

fn is_tag(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_CHARS_MAX
        && text.bytes().next().is_some_and(is_plain)
        && text
            .bytes()
            .all(|byte| is_plain(byte) || b".-".contains(&byte))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.version {
            Version::Tag(_) => ':',
            Version::Digest(_) => '@',
        };
        let (host, repository) = (&self.host, &self.repository);
        write!(f, "{host}/{repository}{separator}{}", self.version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn references_are_read_as_other_tools_write_them() {
        for (text, shown, origin) in [
            (
                "registry.example/team/inventory:1.0",
                "registry.example/team/inventory:1.0",
                "https://registry.example",
            ),
            (
                "oci:registry.example/a_b/c-d",
                "registry.example/a_b/c-d:latest",
                "https://registry.example",
            ),
            (
                "oci://localhost:5000/a:b",
                "localhost:5000/a:b",
                "http://localhost:5000",
            ),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "http://[::1]:5000"),
            ("127.0.0.1/a", "127.0.0.1/a:latest", "http://127.0.0.1"),
            (
                "10.0.0.1:5000/a",
                "10.0.0.1:5000/a:latest",
                "https://10.0.0.1:5000",
            ),
            (
                "docker.io/library/a",
                "docker.io/library/a:latest",
                "https://registry-1.docker.io",
            ),
            (
                "localhost.example/a",
                "localhost.example/a:latest",
                "https://localhost.example",
            ),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), shown);
            assert_eq!(reference.origin(), origin);
        }
    }

    #[test]
    fn a_digest_says_more_than_a_tag() {
        for text in [
            format!("registry.example/a@{DIGEST}"),
            format!("registry.example/a:1@{DIGEST}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(
                reference.to_string(),
                format!("registry.example/a@{DIGEST}")
            );
        }
    }

    #[test]
    fn what_is_no_reference_is_told_with_what_to_write() {
        for (text, part) in [
            ("", "names no registry"),
            ("inventory", "names no registry"),
            ("team/inventory", "names no registry"),
            ("https://registry.example/a", "without http://"),
            ("oci:https://registry.example/a", "without http://"),
            ("user:secret@registry.example/a", "no registry's address"),
            ("registry.example:0/a", "no registry's address"),
            ("registry..example/a", "no registry's address"),
            ("[::g]/a", "no registry's address"),
            ("registry.example/", "no repository"),
            ("registry.example/Team", "no repository"),
            ("registry.example/a//b", "no repository"),
            ("registry.example/../b", "no repository"),
            ("registry.example/a?b", "no repository"),
            ("registry.example/a:", "no tag"),
            ("registry.example/a:-1", "no tag"),
            ("registry.example/a:b/c", "no tag"),
            ("registry.example/a@md5:00", "no digest"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
