//! Configuration: what files and flags say (every key optional) and what it comes to (none left).
//!
//! The rest of the host sees the resolved types only. Every error says the file, the line, what is wrong and
//! what to do about it; nothing here starts, watches or opens anything but the files it is told to read.

pub mod build;
pub mod edge;
pub mod host;
pub mod service;

mod allowed;
pub mod answer;
mod document;
mod error;
pub mod network;
mod raw;
mod secret;
pub mod tls;
mod token;
pub mod trust;
mod units;

#[cfg(test)]
mod tests;

pub use self::allowed::{AllowedHost, AllowedHostError, Scheme};
pub use self::error::{ConfigError, Place};
pub use self::host::{AccessLog, Compile, HostConfig, Log, Overrides, Pool, Source, Timeouts};
pub use self::secret::{NotASecretDigest, SecretDigest};
pub use self::service::{Allow, Instances, ServiceConfig};
pub use self::token::{Caller, Role, Token, TokenError, Tokens};
