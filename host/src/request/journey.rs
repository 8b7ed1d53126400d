//! What a request hands on to the calls that its service makes, and those to theirs.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use skep_policy::name::ServiceName;
use tokio::time::Instant;

use super::headers::Client;
use super::identity::Identity;
use super::pins;
use crate::registry::Snapshot;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What all requests have in common that come of one request from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journey {
    /// When the caller's own time is up. None for a request from outside, and for calls of one that is answered already.
    pub(crate) deadline: Option<Instant>,
    /// Who called. None for a request from outside.
    pub(crate) caller: Option<Arc<Caller>>,
    /// Further tries of requests of this journey. None until there may be one.
    pub(crate) retries: Option<Arc<AtomicU32>>,
    /// The trace that the request from outside belongs to, if it said so.
    pub(crate) trace: Option<TraceParent>,
    /// Who sent the request from outside.
    pub(crate) client: Option<IpAddr>,
    /// The same as it was verified, if it was.
    pub(crate) identity: Option<Arc<Identity>>,
    /// The headers of the request from outside, if they may say which revisions answer it and its calls.
    pub(crate) outside: Option<Arc<HeaderMap>>,
}

/// A service that called, and who called it.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) service: ServiceName,
    pub(crate) caller: Option<Arc<Caller>>,
    /// Services from the one that was called from outside to this one, itself included.
    pub(crate) depth: u32,
}

impl Journey {
    /// Of a request from outside.
    pub(crate) fn begin(headers: &HeaderMap, client: &Client, snapshot: &Snapshot) -> Self {
        let may_say = snapshot.reads_headers || pins::has_any(headers);
        Self {
            trace: TraceParent::of(headers),
            client: Some(client.ip),
            outside: may_say.then(|| Arc::new(headers.clone())),
            ..Self::default()
        }
    }

    /// Of a call that `service` makes for a request of this journey which has until `deadline`.
    pub(crate) fn call(&self, service: &ServiceName, deadline: Option<Instant>) -> Self {
        let depth = self.depth() + 1;
        let caller = Caller {
            service: service.clone(),
            caller: self.caller.clone(),
            depth,
        };
        Self {
            deadline,
            caller: Some(Arc::new(caller)),
            retries: self.retries.clone(),
            trace: self.trace.clone(),
            client: self.client,
            identity: self.identity.clone(),
            outside: self.outside.clone(),
        }
    }

    /// The service that the request from outside was for. None for that request itself.
    pub(crate) fn first(&self) -> Option<&ServiceName> {
        let mut caller = self.caller.as_ref()?;
        while let Some(next) = &caller.caller {
            caller = next;
        }
        Some(&caller.service)
    }

    /// Whether a call of the service has led here.
    pub(crate) fn has_passed(&self, service: &ServiceName) -> bool {
        let mut next = self.caller.as_ref();
        while let Some(caller) = next {
            if caller.service == *service {
                return true;
            }
            next = caller.caller.as_ref();
        }
        false
    }

    /// Calls between the request from outside and this one.
    pub(crate) fn depth(&self) -> u32 {
        self.caller.as_ref().map_or(0, |caller| caller.depth)
    }
}

/// `a → b → c`, in the order of the calls.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain = vec![&self.service];
        let mut next = self.caller.as_ref();
        while let Some(caller) = next {
            chain.push(&caller.service);
            next = caller.caller.as_ref();
        }
        for (index, service) in chain.iter().rev().enumerate() {
            let arrow = if index == 0 { "" } else { " → " };
            write!(f, "{arrow}{service}")?;
        }
        Ok(())
    }
}

/// A position in a trace: version 00 of W3C Trace Context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent(HeaderValue);

/// `00-TRACE-PARENT-FLAGS`: the lengths of the parts, hyphens between them.
const TRACE_PARTS: [usize; 4] = [2, 32, 16, 2];

impl TraceParent {
    /// None for what is no trace parent; the standard says to go on as if there were none.
    pub(crate) fn read(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let parts: Vec<&str> = text.split('-').collect();
        let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let lengths_fit = parts.iter().map(|part| part.len()).eq(TRACE_PARTS);
        let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        let is_valid = lengths_fit
            && parts.iter().all(|part| is_hex(part))
            && parts[0] == "00"
            && !is_zero(parts[1])
            && !is_zero(parts[2]);
        is_valid.then(|| Self(value.clone()))
    }

    /// A new trace.
    pub(crate) fn new() -> Option<Self> {
        use std::hash::{BuildHasher, RandomState};
        let random = |part: u8| RandomState::new().hash_one(part).max(1);
        let [high, low, parent] = [0, 1, 2].map(random);
        let text = format!("00-{high:016x}{low:016x}-{parent:016x}-01");
        HeaderValue::try_from(text).ok().map(Self)
    }

    fn trace(&self) -> &[u8] {
        &self.0.as_bytes()[3..35]
    }

    /// What the headers say.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get(TRACEPARENT).and_then(Self::read)
    }

    /// Says in the headers of a call which trace it belongs to. A guest that traces its own work has said so already.
    pub(crate) fn insert(&self, headers: &mut HeaderMap) {
        if Self::of(headers).is_none_or(|own| own.trace() != self.trace()) {
            headers.insert(TRACEPARENT, self.0.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(text: &'static str) -> Option<TraceParent> {
        TraceParent::read(&HeaderValue::from_static(text))
    }

    #[test]
    fn what_is_no_trace_parent_is_none() {
        assert!(read(VALID).is_some());
        for text in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_new_trace_is_valid_and_no_other_is_the_same() {
        let (one, other) = (TraceParent::new().unwrap(), TraceParent::new().unwrap());
        assert_ne!(one.trace(), other.trace());
        assert_eq!(TraceParent::read(&one.0), Some(one.clone()));
    }

    #[test]
    fn a_guest_may_say_where_in_the_trace_it_is_and_no_other_trace() {
        let own = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01";
        let foreign = "00-11111111111111111111111111111111-1111111111111111-01";
        for (said, expected) in [(own, own), (foreign, VALID), ("junk", VALID)] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_static(said));
            read(VALID).unwrap().insert(&mut headers);
            assert_eq!(headers[TRACEPARENT], expected);
        }
    }

    #[test]
    fn a_chain_of_callers_reads_in_the_order_of_the_calls() {
        let name = |text: &str| ServiceName::try_from(text).unwrap();
        let now = Some(Instant::now());
        let outside = Journey::default();
        assert_eq!(outside.depth(), 0);
        let called = outside.call(&name("a"), now).call(&name("b"), now);
        assert_eq!(called.depth(), 2);
        assert!(called.has_passed(&name("a")) && called.has_passed(&name("b")));
        assert!(!called.has_passed(&name("c")));
        assert_eq!((outside.first(), called.first()), (None, Some(&name("a"))));
        assert_eq!(called.caller.unwrap().to_string(), "a → b");
    }
}
