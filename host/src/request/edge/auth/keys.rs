//! Keys that clients send: looked up by their digests, so that how long it takes says nothing of others.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};
use ring::digest::{SHA256, digest};

use super::{Denied, Outcome, single};
use crate::config::edge::ApiKeys;
use crate::request::identity::{Identity, Scheme};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

pub(super) struct Keys {
    header: HeaderName,
    holders: HashMap<Vec<u8>, Arc<Identity>>,
}

impl Keys {
    pub(super) fn new(settings: &ApiKeys) -> Self {
        let mut holders = HashMap::new();
        for (digest, name) in &settings.keys {
            if let Some(identity) = Identity::new(Scheme::ApiKey, name) {
                holders.insert(digest.bytes(), Arc::new(identity));
            }
        }
        Self {
            // Checked when it was read.
            header: HeaderName::try_from(&settings.header)
                .unwrap_or(HeaderName::from_static("x-api-key")),
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
        let digest = digest(&SHA256, key.as_bytes());
        let holder = self.holders.get(digest.as_ref()).cloned();
        holder
            .map(Some)
            .ok_or_else(|| Denied::wrong("the key is nobody's"))
    }
}
