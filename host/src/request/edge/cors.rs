//! What answers say to browsers of the pages that may read them.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use skep_policy::cors::{Cors, Grant};

use super::say_varies;

/// Headers that are the policy's to say where there is one, whatever a service says.
const OWN: [HeaderName; 7] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// What all of them begin with.
const OWN_PREFIX: &str = "access-control-";

/// A policy, as headers say it.
#[derive(Debug)]
pub(super) struct Permission {
    cors: Cors,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose_headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

/// What a request says of the page that sent it.
#[derive(Debug, Default)]
pub(super) struct Asker {
    origin: Option<HeaderValue>,
    /// Whether a browser asks before the request proper.
    pub(super) is_preflight: bool,
}

/// The method that a preflight is about; None if the request is none.
pub(in crate::request) fn asked_for<B>(request: &Request<B>) -> Option<&str> {
    if request.method() != Method::OPTIONS || !request.headers().contains_key(header::ORIGIN) {
        return None;
    }
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    asked.to_str().ok()
}

impl Asker {
    pub(super) fn of<B>(request: &Request<B>, is_preflight: bool) -> Self {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        let (first, second) = (origins.next(), origins.next());
        Self {
            // No browser sends two, and which of them counts would be anyone's guess.
            origin: first.filter(|_| second.is_none()).cloned(),
            is_preflight,
        }
    }
}

impl Permission {
    pub(super) fn of(cors: &Cors) -> Self {
        // Methods and names were checked when they were read.
        let value = |text: Option<String>| HeaderValue::try_from(text?).ok();
        Self {
            methods: value(cors.methods.value()),
            headers: value(cors.headers.value()),
            expose_headers: value(cors.expose_headers.value()),
            max_age: cors.max_age.as_secs().into(),
            cors: cors.clone(),
        }
    }

    /// Says in an answer's headers what the page that asked may do with it.
    pub(super) fn grant(&self, asker: &Asker, headers: &mut HeaderMap) {
        // Hardly any service says such things: looking at names that are there costs less than looking for seven.
        if headers
            .keys()
            .any(|name| name.as_str().starts_with(OWN_PREFIX))
        {
            for name in OWN {
                headers.remove(name);
            }
        }
        let grant = self
            .cors
            .grant(asker.origin.as_ref().map(HeaderValue::as_bytes));
        if grant.varies() {
            say_varies(headers, "origin");
        }
        let allowed = match (grant, &asker.origin) {
            (Grant::Any, _) => HeaderValue::from_static("*"),
            (Grant::Origin, Some(origin)) => origin.clone(),
            (Grant::Origin, None) | (Grant::Nothing, _) => return,
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        let mut say = |name: HeaderName, value: Option<&HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        };
        let yes = HeaderValue::from_static("true");
        let credentials = self.cors.credentials.then_some(&yes);
        say(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
        if asker.is_preflight {
            say(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.as_ref());
            say(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.as_ref());
            say(header::ACCESS_CONTROL_MAX_AGE, Some(&self.max_age));
        } else {
            let exposed = self.expose_headers.as_ref();
            say(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}
