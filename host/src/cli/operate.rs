//! `skep rollback`, `promote`, `pause`, `resume`, `abort` and `rm`: one order each, about one service.

use std::process::ExitCode;

use http::Method;
use serde_json::{Value, json};
use skep_policy::name::ServiceName;

use super::api::Done;
use super::client::Ask;
use super::remote::Remote;
use super::{Failure, outcome};

/// Arguments of the verbs that need no more than a name.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service
    name: ServiceName,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `skep rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The service
    name: ServiceName,
    /// The revision that is to answer again [default: the newest that is kept and not the running one]
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `skep promote`.
#[derive(Debug, clap::Args)]
pub struct PromoteArgs {
    /// The service
    name: ServiceName,
    /// Past all steps that are left, not only this one
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `skep rm`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// The service
    name: ServiceName,
    /// Even if other services call it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What is to be done with a rollout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It stays where it is.
    Pause,
    /// It goes on.
    Resume,
    /// It ends, and the running revision goes on.
    Abort,
}

/// Has an older revision answer again.
///
/// # Errors
/// When the host can't be asked, or does not do it.
pub fn rollback(args: &RollbackArgs) -> Result<ExitCode, Failure> {
    let body = args.to.map(|number| json!({"to": number}));
    order(&args.remote, post(&args.name, "rollback", body))
}

/// Lets a rollout go on to its next step, or to its end.
///
/// # Errors
/// As above.
pub fn promote(args: &PromoteArgs) -> Result<ExitCode, Failure> {
    let body = args.full.then(|| json!({"full": true}));
    order(&args.remote, post(&args.name, "promote", body))
}

/// Tells a rollout to wait, to go on, or to end.
///
/// # Errors
/// As above.
pub fn tell(word: Word, args: &Args) -> Result<ExitCode, Failure> {
    let word = match word {
        Word::Pause => "pause",
        Word::Resume => "resume",
        Word::Abort => "abort",
    };
    order(&args.remote, post(&args.name, word, None))
}

/// Removes a service.
///
/// # Errors
/// As above.
pub fn remove(args: &RemoveArgs) -> Result<ExitCode, Failure> {
    let force = if args.force { "?force=true" } else { "" };
    let path = format!("/v1/services/{}{force}", args.name);
    order(&args.remote, Ask::order(Method::DELETE, path))
}

fn post(name: &ServiceName, what: &str, body: Option<Value>) -> Ask {
    let ask = Ask::order(Method::POST, format!("/v1/services/{name}/{what}"));
    match body {
        Some(body) => ask.json(&body),
        None => ask,
    }
}

fn order(remote: &Remote, ask: Ask) -> Result<ExitCode, Failure> {
    remote.show(ask, |done: &Done, colours| {
        outcome::render(done, None, colours)
    })?;
    Ok(ExitCode::SUCCESS)
}
