//! What is typed: each verb, what it says and how it ends.

mod check;
mod ls;
mod readme;
mod registry;
mod up;
