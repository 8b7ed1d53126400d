//! Skep: one process that hosts many services, each an isolated WebAssembly component.

pub mod admin;
pub mod capability;
pub mod cgi;
pub mod cli;
pub mod config;
pub mod deploy;
pub mod directory;
pub mod engine;
pub mod fault;
pub mod host;
mod https;
mod pool;
pub mod registry;
pub mod replay;
pub mod request;
pub mod state;
pub mod telemetry;
mod tls;
pub mod worker;
