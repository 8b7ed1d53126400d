//! Changes of headers.

use std::collections::BTreeMap;

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use skep_policy::quote::quoted;

use crate::config::answer::header_name;
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawHeaderEdits;

const EDITS_MAX: usize = 64;
/// What is the host's to say to services, and no file's.
const OWN_PREFIX: &str = "x-skep-";
/// What requests are routed and logged by.
const OWN_OF_REQUESTS: [&str; 2] = ["host", "x-request-id"];

/// Changes of headers, done in this order: removed, set, added. Names are lower-case, all are names and values that headers
/// can have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderEdits {
    /// These go.
    pub remove: Vec<String>,
    /// These have one value, whatever they had.
    pub set: Vec<(String, String)>,
    /// These have one more.
    pub add: Vec<(String, String)>,
}

pub(super) fn request(raw: RawHeaderEdits, scope: &Scope<'_>) -> Result<HeaderEdits, ConfigError> {
    resolve(raw, &OWN_OF_REQUESTS, scope)
}

pub(super) fn response(raw: RawHeaderEdits, scope: &Scope<'_>) -> Result<HeaderEdits, ConfigError> {
    resolve(raw, &[], scope)
}

fn resolve(
    raw: RawHeaderEdits,
    own: &[&str],
    scope: &Scope<'_>,
) -> Result<HeaderEdits, ConfigError> {
    let name = |keys: &[&str], name: &str| match header_name(name) {
        Ok(name) if own.contains(&name.as_str()) || name.as_str().starts_with(OWN_PREFIX) => {
            let what = format!(
                "{} is the host's to say: leave it out",
                quoted(name.as_str())
            );
            Err(scope.error(keys, what))
        }
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(why) => Err(scope.error(keys, format!("{} {why}", quoted(name)))),
    };
    let pairs = |key: &str, given: Option<BTreeMap<String, String>>| {
        let pairs = given.unwrap_or_default().into_iter();
        let checked = pairs.map(|(given, value)| {
            let keys = [key, given.as_str()];
            let name = name(&keys, &given)?;
            match HeaderValue::try_from(&value) {
                Ok(_) => Ok((name, value)),
                Err(_) => Err(scope.error(&keys, "has a value that no header can have")),
            }
        });
        checked.collect::<Result<Vec<_>, ConfigError>>()
    };
    let remove = raw.remove.unwrap_or_default().into_iter().enumerate();
    let remove = remove.map(|(at, given)| name(&["remove", &at.to_string()], &given));
    let edits = HeaderEdits {
        remove: remove.collect::<Result<_, _>>()?,
        set: pairs("set", raw.set)?,
        add: pairs("add", raw.add)?,
    };
    match edits.remove.len() + edits.set.len() + edits.add.len() {
        0 => Err(scope.error(&[], "changes nothing: give it set, add or remove")),
        1..=EDITS_MAX => Ok(edits),
        _ => Err(scope.error(&[], format!("has more than {EDITS_MAX} changes"))),
    }
}
