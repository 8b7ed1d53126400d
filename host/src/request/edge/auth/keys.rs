//! Keys that clients send: looked up by their digests, so that how long it takes says nothing of others.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};

use super::{Denied, Outcome, header_name, single};
use crate::config::SecretDigest;
use crate::config::edge::ApiKeys;
use crate::request::identity::{Identity, Scheme};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

pub(super) struct Keys {
    pub(super) header: HeaderName,
    holders: HashMap<SecretDigest, Arc<Identity>>,
}

impl Keys {
    pub(super) fn new(settings: &ApiKeys) -> Self {
        let mut holders = HashMap::new();
        for (digest, name) in &settings.keys {
            if let Some(identity) = Identity::new(Scheme::ApiKey, name) {
                holders.insert(*digest, Arc::new(identity));
            }
        }
        Self {
            header: header_name(&settings.header),
            holders,
        }
    }

    pub(super) fn find(&self, headers: &HeaderMap) -> Outcome {
        let Some(key) = single(headers, &self.header)? else {
            return Ok(None);
        };
        if key.len() > KEY_BYTES_MAX {
            let why = format!("the key is longer than {KEY_BYTES_MAX} bytes");
            return Err(Denied::wrong(why));
        }
        let digest = SecretDigest::of(key.as_bytes());
        let holder = self.holders.get(&digest).cloned();
        holder
            .map(Some)
            .ok_or_else(|| Denied::wrong("the key is nobody's"))
    }
}
