//! What files say of who may come in.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::config::units::{OneOrMore, Span};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawAuth {
    pub(in crate::config) optional: Option<bool>,
    pub(in crate::config) forward: Option<bool>,
    pub(in crate::config) realm: Option<String>,
    pub(in crate::config) jwt: Option<RawJwt>,
    pub(in crate::config) basic: Option<RawBasic>,
    pub(in crate::config) api_key: Option<RawApiKeys>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawJwt {
    pub(in crate::config) jwks: Option<String>,
    pub(in crate::config) issuer: Option<OneOrMore>,
    pub(in crate::config) audience: Option<OneOrMore>,
    pub(in crate::config) algorithms: Option<OneOrMore>,
    pub(in crate::config) leeway: Option<Span>,
    pub(in crate::config) header: Option<String>,
    pub(in crate::config) cookie: Option<String>,
    pub(in crate::config) identity: Option<String>,
    pub(in crate::config) claims: Option<BTreeMap<String, String>>,
    pub(in crate::config) require: Option<BTreeMap<String, RawValues>>,
    pub(in crate::config) refresh: Option<Span>,
    pub(in crate::config) cooldown: Option<Span>,
    pub(in crate::config) stale: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawBasic {
    pub(in crate::config) users: Option<BTreeMap<String, String>>,
    pub(in crate::config) file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawApiKeys {
    pub(in crate::config) header: Option<String>,
    pub(in crate::config) keys: Option<Vec<RawApiKey>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawApiKey {
    pub(in crate::config) name: Option<String>,
    pub(in crate::config) sha256: Option<String>,
}

impl fmt::Debug for RawBasic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawBasic(…)")
    }
}

impl fmt::Debug for RawApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawApiKey({:?})", self.name)
    }
}

/// One text, whole number or boolean, or an array of them, as texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct RawValues(pub(in crate::config) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum RawValue {
    Text(String),
    Whole(i64),
    Boolean(bool),
}

impl RawValue {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Boolean(is) => is.to_string(),
        }
    }
}

impl<'de> Deserialize<'de> for RawValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = RawValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string in quotes, a whole number, true or false, or an array of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawValues, E> {
        Ok(RawValues(vec![text.to_owned()]))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RawValues, E> {
        Ok(RawValues(vec![number.to_string()]))
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<RawValues, E> {
        Ok(RawValues(vec![is.to_string()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValues, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element::<RawValue>()? {
            values.push(value.text());
        }
        Ok(RawValues(values))
    }
}
