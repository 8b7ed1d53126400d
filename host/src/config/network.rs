//! Networks of clients, as files name them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use skep_policy::quote::quoted;

use super::document::Scope;
use super::error::ConfigError;

const NETWORKS_MAX: usize = 1024;

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Network(IpNet);

/// A text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no network: write an address, or several as in \"10.0.0.0/8\"", quoted(.0))]
pub struct NetworkError(String);

impl Network {
    /// Whether the address, which is no IPv4 address in IPv6's clothes, is one of the network's.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        let address = || Some(IpNet::from(text.parse::<IpAddr>().ok()?));
        match text.parse().ok().or_else(address) {
            Some(network) => Ok(Self(network)),
            None => Err(NetworkError(text)),
        }
    }
}

/// The networks that are listed under `key`.
pub(super) fn resolve(
    given: Vec<String>,
    key: &str,
    scope: &Scope<'_>,
) -> Result<Vec<Network>, ConfigError> {
    if given.len() > NETWORKS_MAX {
        let what = format!("has more than {NETWORKS_MAX} networks");
        return Err(scope.error(&[key], what));
    }
    let network = |(at, text): (usize, String)| {
        Network::try_from(text).map_err(|error| scope.error(&[key, &at.to_string()], error))
    };
    given.into_iter().enumerate().map(network).collect()
}
