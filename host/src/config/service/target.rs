//! What answers for a service: a component, servers elsewhere, or files.

use std::fmt;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use rustls::RootCertStore;
use serde::{Deserialize, Serialize};
use skep_policy::files;
use skep_policy::quote::quoted;

use super::resolve::{Confined, component};
use super::{absolute, lossy};
use crate::config::document::{Document, PATH_BYTES_MAX, Scope};
use crate::config::error::ConfigError;
use crate::config::raw::RawService;
use crate::config::tls;

const SERVERS_MAX: usize = 64;

/// What answers. Serialised, a component is its path alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// The component's file; absolute, symbolic links left as they are.
    Component(#[serde(serialize_with = "lossy")] PathBuf),
    /// Servers elsewhere.
    Upstream(Upstream),
    /// The files in a folder.
    Files(Files),
}

/// Servers that answer in a service's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Where they are; never none.
    #[serde(rename = "upstream")]
    pub servers: Vec<Server>,
    /// Whether they see the host that the client asked for, and not their own.
    pub preserve_host: bool,
    /// Whose certificates they show, in PEM, if not those of the public authorities.
    pub ca: Option<String>,
}

/// Where a server is: `http://` or `https://`, its host, its port and what its paths begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Server {
    /// HTTP or HTTPS.
    pub scheme: Scheme,
    /// The host and, if it is not the scheme's own, the port.
    pub authority: Authority,
    /// What comes before a request's path: empty, or with a slash before and none after.
    pub base: String,
}

/// A folder whose files are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The folder; absolute, symbolic links left as they are.
    #[serde(rename = "files", serialize_with = "lossy")]
    pub folder: PathBuf,
    /// The value of `cache-control`.
    pub cache_control: Option<String>,
    /// The file, from the folder, that is served for paths that name none.
    pub spa: Option<String>,
}

impl Target {
    /// The word for it in lists; None for a component, which has kinds of its own.
    #[must_use]
    pub fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Component(_) => None,
            Self::Upstream(_) => Some("upstream"),
            Self::Files(_) => Some("files"),
        }
    }

    /// The component's file, if it is one.
    #[must_use]
    pub fn component(&self) -> Option<&Path> {
        match self {
            Self::Component(path) => Some(path),
            Self::Upstream(_) | Self::Files(_) => None,
        }
    }
}

/// Where it is.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(path) => path.display().fmt(f),
            Self::Upstream(upstream) => {
                let servers: Vec<String> = upstream.servers.iter().map(Server::to_string).collect();
                f.write_str(&servers.join(" "))
            }
            Self::Files(files) => files.folder.display().fmt(f),
        }
    }
}

impl Upstream {
    /// The authorities of `ca`, if there are any.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn authorities(&self) -> Result<Option<RootCertStore>, ConfigError> {
        let Some(pem) = &self.ca else { return Ok(None) };
        let document = Document::from_bytes(Path::new("upstream_ca"), pem.clone().into_bytes())?;
        tls::authorities(&document).map(Some)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.base)
    }
}

impl From<Server> for String {
    fn from(server: Server) -> Self {
        server.to_string()
    }
}

/// A text names no server.
#[derive(Debug, thiserror::Error)]
#[error("{given} {why}: write it as \"http://10.0.0.5:9000\" or \"https://shop.example/base\"")]
pub struct ServerError {
    given: String,
    why: &'static str,
}

impl TryFrom<String> for Server {
    type Error = ServerError;

    fn try_from(given: String) -> Result<Self, ServerError> {
        let wrong = |why| ServerError {
            given: quoted(&given).to_string(),
            why,
        };
        // A URL's fragment is not kept by what reads it.
        if given.contains(['?', '#']) {
            return Err(wrong("has a query or a fragment"));
        }
        let uri: Uri = given.parse().map_err(|_| wrong("is no URL"))?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or_else(|| wrong("has no scheme"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(wrong("is neither http nor https"));
        }
        let authority = parts.authority.ok_or_else(|| wrong("has no host"))?;
        let after_host = authority.as_str().strip_prefix(authority.host());
        let is_plain = match after_host {
            Some("") => true,
            Some(port) => port[1..].parse::<u16>().is_ok_and(|port| port > 0),
            // A user's name.
            None => false,
        };
        if authority.host().is_empty() || !is_plain {
            return Err(wrong("has a user, or a port that is none"));
        }
        let path = parts.path_and_query;
        let base = path.as_ref().map_or("", |path| path.path());
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            scheme,
            authority,
            base,
        })
    }
}

/// What the manifest says about it.
pub(super) fn resolve(
    raw: &RawService,
    scope: &Scope<'_>,
    confined: Confined,
) -> Result<Target, ConfigError> {
    let given = [
        ("component", raw.component.is_some()),
        ("upstream", raw.upstream.is_some()),
        ("files", raw.files.is_some()),
    ];
    let mut given = given.into_iter().filter(|(_, is_given)| *is_given);
    if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
        let what = format!("is given beside {first}: what answers is one of the two");
        return Err(scope.error(&[second], what));
    }
    let of_upstream = [
        ("preserve_host", raw.preserve_host.is_some()),
        ("upstream_ca", raw.upstream_ca.is_some()),
    ];
    if raw.upstream.is_none() {
        refuse(
            scope,
            &of_upstream,
            "is about an upstream, and there is none",
        )?;
    }
    let of_files = [
        ("cache_control", raw.cache_control.is_some()),
        ("spa", raw.spa.is_some()),
    ];
    if raw.files.is_none() {
        refuse(scope, &of_files, "is about files, and there are none")?;
    }
    if let Some(urls) = &raw.upstream {
        of_components_alone(raw, scope, "an upstream is")?;
        return upstream(&urls.0, raw, scope, confined).map(Target::Upstream);
    }
    if let Some(folder) = &raw.files {
        of_components_alone(raw, scope, "files are")?;
        return files(folder, raw, scope, confined).map(Target::Files);
    }
    component(raw.component.clone(), scope, confined).map(Target::Component)
}

fn refuse(scope: &Scope<'_>, given: &[(&str, bool)], what: &str) -> Result<(), ConfigError> {
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((key, _)) => Err(scope.error(&[key], what)),
        None => Ok(()),
    }
}

/// Refuses what says how a component is made and run.
fn of_components_alone(
    raw: &RawService,
    scope: &Scope<'_>,
    other: &str,
) -> Result<(), ConfigError> {
    let given = [
        ("env", raw.env.is_some()),
        ("env_inherit", raw.env_inherit.is_some()),
        ("allow", raw.allow.is_some()),
        ("instances", raw.instances.is_some()),
        ("record", raw.record.is_some()),
        ("build", raw.build.is_some()),
        ("callee", raw.callee.is_some()),
    ];
    let what = format!("is for a component, and {other} none: leave it out");
    refuse(scope, &given, &what)?;
    let limits = raw.limits.as_ref();
    let of_limits = [
        (
            "memory",
            limits.is_some_and(|limits| limits.memory.is_some()),
        ),
        ("cpu", limits.is_some_and(|limits| limits.cpu.is_some())),
    ];
    refuse(&scope.below(&["limits"]), &of_limits, &what)?;
    let rollout = raw.rollout.as_ref();
    let mirrors = rollout.is_some_and(|rollout| rollout.mirror.is_some());
    refuse(&scope.below(&["rollout"]), &[("mirror", mirrors)], &what)
}

fn upstream(
    urls: &[String],
    raw: &RawService,
    scope: &Scope<'_>,
    confined: Confined,
) -> Result<Upstream, ConfigError> {
    if urls.is_empty() || urls.len() > SERVERS_MAX {
        return Err(scope.error(
            &["upstream"],
            format!("must name 1 to {SERVERS_MAX} servers"),
        ));
    }
    let server = |url: &String| {
        Server::try_from(url.clone()).map_err(|error| scope.error(&["upstream"], error))
    };
    let servers: Vec<Server> = urls.iter().map(server).collect::<Result<_, _>>()?;
    let twice = (1..servers.len()).find(|at| servers[..*at].contains(&servers[*at]));
    if let Some(at) = twice {
        let what = format!("names {} twice", servers[at]);
        return Err(scope.error(&["upstream"], what));
    }
    let is_secure = servers.iter().any(|server| server.scheme == Scheme::HTTPS);
    let ca = match &raw.upstream_ca {
        None => None,
        Some(_) if !is_secure => {
            let what = "is of no use without a server at https://";
            return Err(scope.error(&["upstream_ca"], what));
        }
        Some(file) => {
            let document = Document::read(&below(file, "upstream_ca", scope, confined)?)?;
            tls::authorities(&document)?;
            Some(document.text().to_owned())
        }
    };
    Ok(Upstream {
        servers,
        preserve_host: raw.preserve_host.unwrap_or(false),
        ca,
    })
}

fn files(
    folder: &str,
    raw: &RawService,
    scope: &Scope<'_>,
    confined: Confined,
) -> Result<Files, ConfigError> {
    let folder = below(folder, "files", scope, confined)?;
    if !folder.is_dir() {
        let fix = "it is the folder that `files` names: create it, or correct the name".to_owned();
        return Err(ConfigError::Missing { path: folder, fix });
    }
    let cache_control = raw.cache_control.clone();
    if cache_control
        .as_ref()
        .is_some_and(|value| HeaderValue::try_from(value).is_err())
    {
        return Err(scope.error(&["cache_control"], "is no value that a header can have"));
    }
    let names_a_file = |spa: &str| {
        let named = files::named(&format!("/{spa}"));
        named.is_some_and(|named| !named.is_folder && named.path == spa)
    };
    if raw.spa.as_deref().is_some_and(|spa| !names_a_file(spa)) {
        let what = "names no file of the folder: write it as in \"index.html\"";
        return Err(scope.error(&["spa"], what));
    }
    Ok(Files {
        folder,
        cache_control,
        spa: raw.spa.clone(),
    })
}

/// What a manifest names by a path, absolute: beside it, unless it is the operator's own file.
fn below(
    given: &str,
    key: &str,
    scope: &Scope<'_>,
    confined: Confined,
) -> Result<PathBuf, ConfigError> {
    if confined == Confined::ToFolder {
        return scope.file_beside(&[key], given);
    }
    if given.is_empty() || given.len() > PATH_BYTES_MAX || given.contains('\0') {
        return Err(scope.error(&[key], "is no path: name a file"));
    }
    absolute(&scope.document().folder().join(given))
}
