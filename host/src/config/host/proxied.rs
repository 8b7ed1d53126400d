//! Who stands between clients and the gateway, and what is written down of clients.

use skep_policy::access_log::Format;
use skep_policy::quote::quoted;

use super::AccessLog;
use super::settings::Origin;
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::network::{self, Network};
use crate::config::raw::RawAccessLog;
use crate::config::units::OneOrMore;

pub(super) fn trusted_proxies(
    raw: Option<OneOrMore>,
    scope: Option<&Scope<'_>>,
) -> Result<Vec<Network>, ConfigError> {
    match (raw, scope) {
        (Some(listed), Some(scope)) => network::resolve(listed.0, "trusted_proxies", scope),
        _ => Ok(Vec::new()),
    }
}

pub(super) fn access_log(
    raw: Option<&RawAccessLog>,
    origin: &Origin<'_>,
) -> Result<Option<AccessLog>, ConfigError> {
    let Some(raw) = raw else { return Ok(None) };
    let Some(file) = &raw.file else {
        let what = "names no file: write file = \"access.log\", or leave [access_log] out";
        return Err(origin.error(&["access_log", "file"], what));
    };
    let format = match raw.format.as_deref() {
        Some("common") => Format::Common,
        None | Some("combined") => Format::Combined,
        Some("json") => Format::Json,
        Some(other) => {
            let what = format!(
                "{} is no format: write \"common\", \"combined\" or \"json\"",
                quoted(other)
            );
            return Err(origin.error(&["access_log", "format"], what));
        }
    };
    Ok(Some(AccessLog {
        file: origin.path(&["access_log", "file"], file)?,
        format,
    }))
}
