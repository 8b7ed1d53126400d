//! What is typed: each verb, what it says and how it ends.

mod build;
mod check;
mod completions;
mod deploy;
mod follow;
mod gateway;
mod ls;
mod new;
mod readme;
mod registry;
mod rollouts;
mod up;
mod watch;
