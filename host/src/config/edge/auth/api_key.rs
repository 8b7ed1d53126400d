//! Keys that clients send.

use std::collections::BTreeMap;

use skep_policy::quote::quoted;

use super::{ApiKeys, KeyDigest, names};
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::{RawApiKey, RawApiKeys};

const HEADER_DEFAULT: &str = "x-api-key";
const KEYS_MAX: usize = 10_000;
const NAME_CHARS_MAX: usize = 64;
const DIGEST_DIGITS: usize = 64;

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
fn key(raw: RawApiKey, scope: &Scope<'_>) -> Result<(KeyDigest, String), ConfigError> {
    let name = raw.name.unwrap_or_default();
    let is_name = (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name {
        let what = format!(
            "{} must be 1 to {NAME_CHARS_MAX} visible ASCII characters: services are told it",
            quoted(&name)
        );
        return Err(scope.error(&["name"], what));
    }
    let digest = raw.sha256.unwrap_or_default();
    let is_hex = digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        let what = "must be the key's sha256 in 64 hexadecimal digits: make a key with `openssl rand -hex 32`, and its \
                    digest with `printf %s KEY | sha256sum`";
        return Err(scope.error(&["sha256"], what));
    }
    Ok((KeyDigest(digest.to_ascii_lowercase()), name))
}
