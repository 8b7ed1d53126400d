//! Skep's decisions, kept apart from its deeds: pure functions, tables and state machines.
//!
//! Nothing here does I/O, spawns, or reads a clock: time is an argument. So every rule can be tested
//! exhaustively in milliseconds.

pub mod access_log;
pub mod adaptive;
pub mod balance;
pub mod breaker;
pub mod coding;
pub mod contract;
pub mod cors;
pub mod duration;
pub mod files;
pub mod fit;
pub mod forwarded;
pub mod health;
pub mod idempotency;
pub mod identity;
pub mod isolation;
pub mod limits;
pub mod name;
pub mod nearest;
pub mod quote;
pub mod rate;
pub mod replay;
pub mod resets;
pub mod retry;
pub mod rollout;
pub mod routes;
pub mod shares;
pub mod shed;
pub mod size;
pub mod websocket;
