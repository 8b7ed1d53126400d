//! What files say of a route's WebSockets.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::units::{Size, Span};

/// `websocket = true`, or `[route.websocket]`.
#[derive(Debug)]
pub(in crate::config) enum RawWebsocket {
    Is(bool),
    With(RawWebsocketSettings),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(in crate::config) struct RawWebsocketSettings {
    pub(in crate::config) connections: Option<u32>,
    pub(in crate::config) message: Option<Size>,
    pub(in crate::config) idle: Option<Span>,
    pub(in crate::config) ping: Option<Span>,
    pub(in crate::config) queue: Option<u32>,
    pub(in crate::config) origins: Option<Vec<String>>,
}

impl<'de> Deserialize<'de> for RawWebsocket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WebsocketVisitor)
    }
}

struct WebsocketVisitor;

impl<'de> Visitor<'de> for WebsocketVisitor {
    type Value = RawWebsocket;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a table")
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<RawWebsocket, E> {
        Ok(RawWebsocket::Is(is))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawWebsocket, A::Error> {
        let table = RawWebsocketSettings::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RawWebsocket::With(table))
    }
}
