//! Keys that clients send.

use std::collections::BTreeMap;

use super::{ApiKeys, names};
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::{RawApiKey, RawApiKeys};
use crate::config::secret::{self, SecretDigest};

const HEADER_DEFAULT: &str = "x-api-key";
const KEYS_MAX: usize = 10_000;

pub(super) fn resolve(raw: RawApiKeys, scope: &Scope<'_>) -> Result<ApiKeys, ConfigError> {
    let header = raw.header.as_deref().unwrap_or(HEADER_DEFAULT);
    let header = names::header(header, &["header"], scope)?;
    if header == "authorization" {
        let what = "is for tokens and passwords: name another, such as \"x-api-key\"";
        return Err(scope.error(&["header"], what));
    }
    let listed = raw.keys.unwrap_or_default();
    if listed.is_empty() || listed.len() > KEYS_MAX {
        let what = format!("must list 1 to {KEYS_MAX} keys: `{{ name = …, sha256 = … }}`");
        return Err(scope.error(&["keys"], what));
    }
    let mut keys = BTreeMap::new();
    for (at, raw) in listed.into_iter().enumerate() {
        let at = at.to_string();
        let (digest, name) = key(raw, &scope.below(&["keys", &at]))?;
        if keys.insert(digest, name).is_some() {
            let what = "is another's, too: each key has one holder";
            return Err(scope.error(&["keys", &at, "sha256"], what));
        }
    }
    Ok(ApiKeys { header, keys })
}

/// Several keys may have one name: the old and the new one, say.
fn key(raw: RawApiKey, scope: &Scope<'_>) -> Result<(SecretDigest, String), ConfigError> {
    let name = secret::holder(raw.name, "services are told it");
    let name = name.map_err(|what| scope.error(&["name"], what))?;
    let digest = secret::digest(raw.sha256.as_deref(), "key");
    let digest = digest.map_err(|what| scope.error(&["sha256"], what))?;
    Ok((digest, name))
}
