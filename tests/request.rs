//! A request's way, seen from outside.

mod body_limit;
mod calls;
mod calls_bound;
mod cgi;
mod connection;
mod connections_max;
mod disconnect;
mod drain;
mod echo;
mod egress;
mod egress_bound;
mod environment;
mod forwarded;
mod framing;
mod head;
mod hello;
mod hop_by_hop;
mod instances;
mod large_body;
mod malformed;
mod problem;
mod queue;
mod request_log;
mod routing;
mod slow_client;
mod sockets;
