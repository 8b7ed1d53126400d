//! What tests are written with: a host to run, clients to ask it, its log to wait for.

pub(crate) mod answer;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod deploying;
pub(crate) mod elsewhere;
pub(crate) mod frames;
pub(crate) mod guests;
pub(crate) mod host;
pub(crate) mod issuer;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod operator;
pub(crate) mod orders;
mod process;
pub(crate) mod program;
pub(crate) mod registry;
pub(crate) mod rogue;
pub(crate) mod rollouts;
pub(crate) mod service;
pub(crate) mod setup;
pub(crate) mod signer;
pub(crate) mod sources;
pub(crate) mod tls;
mod turn;
pub(crate) mod upstream;
pub(crate) mod verb;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod websocket;
pub(crate) mod websocket_server;
pub(crate) mod wire;

pub(crate) use answer::Answer;
pub(crate) use guests::{fault, guest, probe};
pub(crate) use host::Host;
pub(crate) use sources::Sources;
