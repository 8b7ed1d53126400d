//! What the admin API says of a service.

use serde::Deserialize;

/// One entry of `GET /v1/services`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// `ready`, `compiling`, `failed` or `retiring`.
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) revision: Option<u64>,
    /// `sha256:…`.
    #[serde(default)]
    pub(crate) digest: Option<String>,
    /// Why the newest candidate was refused, if it was.
    #[serde(default)]
    pub(crate) error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Services {
    pub(super) services: Vec<Service>,
}
