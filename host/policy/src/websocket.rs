//! WebSockets (RFC 6455): who gets one, what it may use, what services are told and may order, and how it ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{LimitsError, within};
use crate::size::{KIB, MIB};
use crate::{duration, size};

pub use self::handshake::{Handshake, Offer, Refusal, Switched, Unsound, is_protocol};
pub use self::origin::{Origin, OriginError};
pub use self::pulse::{Beat, Pulse};

mod handshake;
mod origin;
mod pulse;

/// Most connections that a route may be told to allow.
pub const CONNECTIONS_MAX: u32 = 1_000_000;
/// Least and most bytes of a message.
pub const MESSAGE_BYTES: (u64, u64) = (125, MIB);
/// Least and most time without a message after which a connection is closed.
pub const IDLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
/// Least and most time without a word of the client after which it is asked whether it is there.
pub const PING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// Most messages that may wait for a client to read them.
pub const QUEUE_MAX: u32 = 10_000;

/// Why a connection is closed, as the other side is told (RFC 6455, 7.4.1).
pub mod code {
    /// It has served its purpose.
    pub const NORMAL: u16 = 1000;
    /// One side goes away: the host stops, the service is gone, nothing was said for long.
    pub const GOING_AWAY: u16 = 1001;
    /// The client breaks the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// The client closed without a code. Never sent.
    pub const NONE: u16 = 1005;
    /// The connection broke. Never sent.
    pub const ABNORMAL: u16 = 1006;
    /// A text is not UTF-8.
    pub const NOT_TEXT: u16 = 1007;
    /// The service does not want the message, the client says too much of nothing, or its proof of who it is holds no more.
    pub const REFUSED: u16 = 1008;
    /// A message is larger than allowed.
    pub const TOO_LARGE: u16 = 1009;
    /// The service failed.
    pub const FAILED: u16 = 1011;
    /// The service has too much to do.
    pub const TRY_AGAIN: u16 = 1013;
}

/// What the WebSockets of a route may use, and who gets one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Connections that the service may have open at once.
    pub connections: u32,
    /// Bytes of a message, in either direction.
    pub message: u64,
    /// Without a message for so long a connection is closed.
    pub idle: Duration,
    /// Without a word of the client for so long it is asked whether it is there, and after as long again it is gone.
    pub ping: Duration,
    /// Messages that may wait for a client to read them.
    pub queue: u32,
    /// The sites whose pages may connect.
    pub origins: Origins,
}

/// The sites whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origins {
    /// The host that the request is for, by the scheme that it came by.
    Same,
    /// All.
    Any,
    /// These.
    These(Vec<Origin>),
}

impl Settings {
    /// What a route gets that states nothing.
    pub const DEFAULT: Self = Self {
        connections: 1_000,
        message: 64 * KIB,
        idle: Duration::from_secs(600),
        ping: Duration::from_secs(30),
        queue: 64,
        origins: Origins::Same,
    };

    /// Checks every setting against its bounds.
    ///
    /// # Errors
    /// The first that is out of bounds, in the order of the fields.
    pub fn check(&self) -> Result<(), LimitsError> {
        let count = |n: u32| n.to_string();
        within("connections", self.connections, 1, CONNECTIONS_MAX, count)?;
        let (least, most) = MESSAGE_BYTES;
        within("message", self.message, least, most, size::show)?;
        within("idle", self.idle, IDLE.0, IDLE.1, duration::show)?;
        within("ping", self.ping, PING.0, PING.1, duration::show)?;
        within("queue", self.queue, 1, QUEUE_MAX, count)
    }

    /// Whether a page of this origin may connect to `host` by `scheme`. Who names none is no browser.
    #[must_use]
    pub fn admits(&self, origin: Option<&str>, scheme: &str, host: &str) -> bool {
        let Some(origin) = origin else { return true };
        match &self.origins {
            Origins::Any => true,
            Origins::Same => origin::is_of(origin, scheme, host),
            Origins::These(those) => those.iter().any(|one| one.is(origin)),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a service is told of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to connect.
    Connect,
    /// A message is there.
    Message,
    /// The connection has ended.
    Disconnect,
}

impl Event {
    /// The word in headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Message => "message",
            Self::Disconnect => "disconnect",
        }
    }
}

/// How a connection ends over an answer to a message with this status; None if it goes on. The client must learn that
/// the message was lost.
#[must_use]
pub fn ends_over(status: u16) -> Option<u16> {
    match status {
        200..=299 => None,
        429 | 503 => Some(code::TRY_AGAIN),
        300..=499 => Some(code::REFUSED),
        _ => Some(code::FAILED),
    }
}

/// Whether what a service says of this media type is a text.
#[must_use]
pub fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return false;
    };
    let subtype = subtype.to_ascii_lowercase();
    kind.eq_ignore_ascii_case("text")
        || (kind.eq_ignore_ascii_case("application")
            && (subtype == "json" || subtype.ends_with("+json")))
}

/// What a service wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// To send a message.
    Send,
    /// To close it.
    Close,
    /// To know whether it is there.
    Look,
}

impl Order {
    /// What a request of this method orders; None if nothing.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "POST" => Some(Self::Send),
            "DELETE" => Some(Self::Close),
            "GET" => Some(Self::Look),
            _ => None,
        }
    }
}

/// The code that a service closes with: its own, if it is one that it may send.
#[must_use]
pub fn closing_code(given: Option<&str>) -> Option<u16> {
    let Some(given) = given else {
        return Some(code::NORMAL);
    };
    let code = given.parse().ok()?;
    let is_allowed = matches!(code, 1000 | 1001 | 1003 | 1007..=1009 | 1011..=1013 | 3000..=4999);
    is_allowed.then_some(code)
}

/// The code that one side is told when the connection with the other has ended with this one; None if that gave none.
#[must_use]
pub fn passed_on(code: u16) -> Option<u16> {
    match code {
        code::NONE => None,
        code::ABNORMAL => Some(code::GOING_AWAY),
        code => Some(code),
    }
}

/// The id of a connection: nobody guesses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(u128);

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 32;

impl ConnectionId {
    /// Of random bits.
    #[must_use]
    pub fn new(random: u128) -> Self {
        Self(random)
    }

    /// The id that a text is, if it is one as [`fmt::Display`](std::fmt::Display) writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = text.len() == ID_DIGITS && text.bytes().all(is_digit);
        is_id.then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }

    /// Which of so many parts it falls into.
    #[must_use]
    pub fn part(self, parts: usize) -> usize {
        let bytes = self.0.to_be_bytes();
        usize::from(bytes[15]) % parts.max(1)
    }
}

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:0width$x}", self.0, width = ID_DIGITS)
    }
}

#[cfg(test)]
mod tests;
