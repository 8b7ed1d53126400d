//! Interfaces that guests may use, one file a family.

pub(crate) mod client;
pub(crate) mod egress;
pub(crate) mod functions;
pub(crate) mod output;
