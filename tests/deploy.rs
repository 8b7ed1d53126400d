//! A deployment's way, seen from outside.

mod api;
mod broken;
mod cache;
mod compile_limits;
mod conflicts;
mod crash;
mod drop_in;
mod files;
mod half_written;
mod in_flight;
mod kills;
mod links;
mod manifests;
mod mirror;
mod openapi;
mod pins;
mod replay;
mod rescan;
mod restart;
mod rollback;
mod rollouts;
mod start;
mod state;
mod sticky;
mod swaps;
mod trust;
