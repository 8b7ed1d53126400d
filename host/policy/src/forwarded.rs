//! Where a request comes from, if those who passed it on may be believed.
//!
//! A proxy says whom it has a request from, and the one behind it does so, too: a chain that begins with whatever the client
//! itself has claimed. It is read from its end, for as long as the one who speaks is trusted. So the client is the nearest
//! that is not, and what stands before it is nobody's word.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Most proxies that a request may have passed: a chain may be as long as a head.
pub const HOPS_MAX: usize = 32;

/// What headers say of where a request comes from: the values of each, in their order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claims<'a> {
    /// `x-forwarded-for`.
    pub addresses: &'a [&'a [u8]],
    /// `forwarded` (RFC 7239); counts where there is no `x-forwarded-for`.
    pub forwarded: &'a [&'a [u8]],
    /// `x-forwarded-proto`.
    pub protos: &'a [&'a [u8]],
}

/// How the client spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    /// Plain.
    Http,
    /// With TLS.
    Https,
}

/// Where a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who asked.
    pub client: IpAddr,
    /// Who passed it on, the nearest to the client first. Never none, and all of them trusted.
    pub proxies: Vec<IpAddr>,
    /// How the client spoke to the first of them, if that is said.
    pub proto: Option<Proto>,
}

/// Where a request comes from that a trusted `peer` sends.
///
/// What is no address (`unknown`, a name of the proxy's own, or nonsense) ends the chain: who stood there can't be
/// known, and so the client is taken to be the last that is.
#[must_use]
pub fn origin(peer: IpAddr, claims: &Claims<'_>, is_trusted: impl Fn(IpAddr) -> bool) -> Origin {
    let (mut client, mut of_hop) = (peer, None);
    let mut proxies = Vec::new();
    for (address, proto) in chain(claims).take(HOPS_MAX) {
        let Some(address) = address else { break };
        proxies.push(client);
        (client, of_hop) = (address, proto);
        if !is_trusted(client) {
            break;
        }
    }
    if proxies.is_empty() {
        // A proxy that does not say for whom it speaks is the client.
        proxies.push(peer);
    }
    proxies.reverse();
    let proto = match claims.protos {
        [] => of_hop,
        [one] => proto(one),
        // Whose word which of them is can't be told.
        _ => None,
    };
    Origin {
        client,
        proxies,
        proto,
    }
}

/// What is said of one hop.
type Hop = (Option<IpAddr>, Option<Proto>);

/// What is said of each hop, from the nearest on.
fn chain<'a>(claims: &Claims<'a>) -> Box<dyn Iterator<Item = Hop> + 'a> {
    if claims.addresses.is_empty() {
        let values = claims.forwarded.iter().rev();
        return Box::new(values.flat_map(|value| quoted_parts(value, b',').rev().map(element)));
    }
    let values = claims.addresses.iter().rev();
    let parts = values.flat_map(|value| value.rsplit(|byte| *byte == b','));
    Box::new(parts.map(|text| (node(text), None)))
}

/// The parts of a list in which a separator within quotes is none. Quotes that a client leaves open hide nothing of what
/// follows: then they are taken for any other byte.
fn quoted_parts(text: &[u8], separator: u8) -> std::vec::IntoIter<&[u8]> {
    let mut parts = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            other if *other == separator && !quoted => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if quoted {
        parts = text.split(|byte| *byte == separator).collect();
    } else {
        parts.push(&text[begin..]);
    }
    parts.into_iter()
}

/// One element of `forwarded`: `for=192.0.2.1;proto=https`.
fn element(text: &[u8]) -> Hop {
    let (mut hop, mut is_sound): (Hop, bool) = ((None, None), true);
    let (mut has_node, mut has_proto) = (false, false);
    for pair in quoted_parts(text, b';') {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = (pair[..at].trim_ascii(), unquoted(&pair[at + 1..]));
        if name.eq_ignore_ascii_case(b"for") {
            // Said twice, it could be either (RFC 7239, 4).
            is_sound &= !std::mem::replace(&mut has_node, true);
            hop.0 = value.and_then(node);
        } else if name.eq_ignore_ascii_case(b"proto") {
            is_sound &= !std::mem::replace(&mut has_proto, true);
            hop.1 = value.and_then(proto);
        }
    }
    if is_sound { hop } else { (None, None) }
}

/// A value without the quotes around it. What is escaped in it is no part of an address.
fn unquoted(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii();
    match text.strip_prefix(b"\"") {
        None => Some(text),
        Some(rest) => rest
            .strip_suffix(b"\"")
            .filter(|inner| !inner.contains(&b'"') && !inner.contains(&b'\\')),
    }
}

/// An address, with or without a port, an IPv6 one perhaps in brackets.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let of_host = || text.parse::<IpAddr>().ok();
    let in_brackets = || {
        let (address, port) = text.strip_prefix('[')?.split_once(']')?;
        let is_port = port.is_empty() || is_port(port.strip_prefix(':')?);
        is_port.then(|| address.parse::<Ipv6Addr>().ok()).flatten()
    };
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    let obscure_port = || {
        let (address, port) = text.rsplit_once(':')?;
        let address: std::net::Ipv4Addr = address.parse().ok()?;
        is_port(port).then_some(IpAddr::V4(address))
    };
    of_host()
        .or_else(with_port)
        .or_else(|| in_brackets().map(IpAddr::V6))
        .or_else(obscure_port)
        .map(|address| address.to_canonical())
}

/// A port, or a name in its place (RFC 7239, 6.2).
fn is_port(text: &str) -> bool {
    let obscure = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(plain)
    };
    text.strip_prefix('_').map_or_else(
        || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
        obscure,
    )
}

fn proto(text: &[u8]) -> Option<Proto> {
    let text = text.trim_ascii();
    if text.eq_ignore_ascii_case(b"https") {
        Some(Proto::Https)
    } else if text.eq_ignore_ascii_case(b"http") {
        Some(Proto::Http)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
