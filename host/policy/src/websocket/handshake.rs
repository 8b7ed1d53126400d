//! Whether a request asks for a WebSocket as RFC 6455 (4.2.1) wants it.

/// What a request says of it: the values of each header's lines.
#[derive(Debug, Clone, Default)]
pub struct Handshake<'a> {
    /// The method.
    pub method: &'a str,
    /// Whether the version of HTTP has upgrades: 1.1 alone.
    pub is_http_11: bool,
    /// Whether a body follows.
    pub has_body: bool,
    /// `Connection`.
    pub connection: Vec<&'a str>,
    /// `Upgrade`.
    pub upgrade: Vec<&'a str>,
    /// `Sec-WebSocket-Key`.
    pub key: Vec<&'a str>,
    /// `Sec-WebSocket-Version`.
    pub version: Vec<&'a str>,
    /// `Sec-WebSocket-Protocol`.
    pub protocol: Vec<&'a str>,
    /// `Origin`.
    pub origin: Vec<&'a str>,
}

/// A request for a WebSocket that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<'a> {
    /// What the answer is to prove that it has read.
    pub key: &'a str,
    /// The subprotocols that the client speaks, what it prefers first.
    pub protocols: Vec<&'a str>,
    /// The site of the page that asks, if a browser does.
    pub origin: Option<&'a str>,
}

/// What is wrong with a request for a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Only GET upgrades.
    #[error("a WebSocket is asked for with GET")]
    Method,
    /// What follows is the WebSocket's.
    #[error("a request for a WebSocket has no body")]
    Body,
    /// To be told which version there is.
    #[error("sec-websocket-version is not 13")]
    Version,
    /// 16 bytes in base64, once.
    #[error("sec-websocket-key is not one key of 16 bytes")]
    Key,
    /// Names of protocols, not many and each once.
    #[error("sec-websocket-protocol is no list of at most 32 different protocols")]
    Protocol,
    /// At most one.
    #[error("there is more than one origin")]
    Origin,
}

/// Most subprotocols that a client may offer: they are compared with each other before it is known who asks.
pub(super) const PROTOCOLS_MAX: usize = 32;
/// The one version.
const VERSION: &str = "13";

impl<'a> Handshake<'a> {
    /// What is asked for; None if it is no WebSocket, so that the request is one as any other (RFC 9110, 7.8).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self) -> Result<Option<Offer<'a>>, Refusal> {
        let asks = self.is_http_11
            && tokens(&self.upgrade).any(|token| token.eq_ignore_ascii_case("websocket"))
            && tokens(&self.connection).any(|token| token.eq_ignore_ascii_case("upgrade"));
        if !asks {
            return Ok(None);
        }
        if self.method != "GET" {
            return Err(Refusal::Method);
        }
        if self.has_body {
            return Err(Refusal::Body);
        }
        if !matches!(self.version[..], [VERSION]) {
            return Err(Refusal::Version);
        }
        let [key] = self.key[..] else {
            return Err(Refusal::Key);
        };
        if !is_key(key) {
            return Err(Refusal::Key);
        }
        let protocols: Vec<_> = tokens(&self.protocol).take(PROTOCOLS_MAX + 1).collect();
        if protocols.len() > PROTOCOLS_MAX {
            return Err(Refusal::Protocol);
        }
        let is_sound =
            |(at, one): (usize, &&str)| is_protocol(one) && !protocols[..at].contains(one);
        if !protocols.iter().enumerate().all(is_sound) {
            return Err(Refusal::Protocol);
        }
        let origin = match self.origin[..] {
            [] => None,
            [origin] => Some(origin),
            _ => return Err(Refusal::Origin),
        };
        Ok(Some(Offer {
            key,
            protocols,
            origin,
        }))
    }
}

/// What a server says that switches to WebSocket: the values of each header's lines.
#[derive(Debug, Clone, Default)]
pub struct Switched<'a> {
    /// `Connection`.
    pub connection: Vec<&'a str>,
    /// `Upgrade`.
    pub upgrade: Vec<&'a str>,
    /// `Sec-WebSocket-Accept`.
    pub accept: Vec<&'a str>,
    /// `Sec-WebSocket-Extensions`.
    pub extensions: Vec<&'a str>,
}

/// What is wrong with what a server says that switches protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// To something else, or not.
    #[error("it switches to something that is no WebSocket")]
    Protocol,
    /// It has not read what it answers.
    #[error("its sec-websocket-accept does not come of the key that it was sent")]
    Accept,
    /// None was offered.
    #[error("it speaks with an extension that it was not offered")]
    Extension,
}

impl Switched<'_> {
    /// Whether it is what RFC 6455 (4.1) wants of the answer to a handshake that offers no extension, where `accept` is what
    /// the key makes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, accept: &str) -> Result<(), Unsound> {
        let is_websocket =
            matches!(self.upgrade[..], [upgrade] if upgrade.eq_ignore_ascii_case("websocket"));
        let upgrades = tokens(&self.connection).any(|token| token.eq_ignore_ascii_case("upgrade"));
        if !is_websocket || !upgrades {
            return Err(Unsound::Protocol);
        }
        if !matches!(self.accept[..], [said] if said == accept) {
            return Err(Unsound::Accept);
        }
        match self.extensions.is_empty() {
            true => Ok(()),
            false => Err(Unsound::Extension),
        }
    }
}

fn tokens<'a>(values: &[&'a str]) -> impl Iterator<Item = &'a str> {
    let values = values.to_vec();
    let all = values.into_iter().flat_map(|value| value.split(','));
    all.map(str::trim).filter(|token| !token.is_empty())
}

/// Whether this is 16 bytes in base64: 22 digits, of which the last has four bits too many, and the padding.
fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else {
        return false;
    };
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    digits.len() == 22 && digits.bytes().all(is_digit) && digits.ends_with(['A', 'Q', 'g', 'w'])
}

/// Whether this can be a subprotocol's name: a token (RFC 9110, 5.6.2).
#[must_use]
pub fn is_protocol(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}
